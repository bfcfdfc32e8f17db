// Pages that are opened from disk may start no worker, which the search needs. There, what would be a worker runs in a
// hidden frame. This file takes the place of a script that the theme would load from the network.
if (location.protocol === "file:") {
  const inside = `
    window.postMessage = (data) => parent.postMessage(data, "*");
    window.importScripts = (...urls) =>
      urls.reduce((before, url) => before.then(() => new Promise((loaded, failed) => {
        const script = document.createElement("script");
        Object.assign(script, { src: url, onload: loaded, onerror: failed });
        document.head.append(script);
      })), Promise.resolve());`;

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const script = String(new URL(url, document.baseURI)).replace(/"/g, "%22");
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script>${inside}</` + `script><script src="${script}"></` + `script>`;
      this.ready = new Promise((loaded) => (this.frame.onload = loaded));
      this.hear = (event) => {
        if (event.source === this.frame.contentWindow)
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      };
      addEventListener("message", this.hear);
      document.body.append(this.frame);
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow?.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      removeEventListener("message", this.hear);
      this.frame.remove();
    }
  };
}
