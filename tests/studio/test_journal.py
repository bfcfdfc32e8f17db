"""The journal: undo and redo, and what is left of it after a death at any moment."""

import errno

import pytest

from fractalkit.errors import DataError
from fractalkit.studio import journal as module
from fractalkit.studio.journal import Journal, open_journal


def filled(path, n=4):
    journal = Journal(path)
    for k in range(1, n + 1):
        journal.commit({"k": k}, f"change {k}")
    return journal


def test_undo_and_redo_go_back_and_forth(tmp_path):
    journal = filled(tmp_path / "j")
    assert journal.undo().flame == {"k": 3} and journal.undo().flame == {"k": 2}
    assert journal.redo().flame == {"k": 3} and journal.redo().flame == {"k": 4}
    assert journal.redo() is None
    for _ in range(3):
        assert journal.undo() is not None
    assert not journal.can_undo and journal.undo() is None


def test_a_change_after_undo_begins_a_branch_and_loses_nothing(tmp_path):
    journal = filled(tmp_path / "j")
    journal.undo()
    journal.commit({"k": 9}, "other")
    assert not journal.can_redo and len(journal.states) == 5
    assert journal.undo().flame == {"k": 3}
    assert journal.go(4).flame == {"k": 4}
    assert journal.go(77) is None and journal.now.flame == {"k": 4}


def test_equal_states_are_one(tmp_path):
    journal = filled(tmp_path / "j")
    journal.commit({"k": 4}, "nothing")
    assert len(journal.states) == 4


def test_it_opens_where_it_was_left_undone_steps_included(tmp_path):
    journal = filled(tmp_path / "j")
    journal.undo()
    again = Journal(tmp_path / "j")
    assert again.now.flame == {"k": 3} and again.can_redo and again.redo().flame == {"k": 4}
    assert again.states[2].label == "change 2"


def test_whatever_is_cut_off_only_the_last_line_is_lost(tmp_path):
    path = tmp_path / "j"
    filled(path)
    data = path.read_bytes()
    ends = [k for k, b in enumerate(data) if b == 10]
    for cut in range(0, len(data), 7):
        path.write_bytes(data[:cut])
        again = Journal(path)
        whole = sum(e < cut for e in ends)
        assert len(again.states) in (whole, whole + 1)  # a line may be whole but for its end
        again.commit({"k": "new"}, "after")
        assert Journal(path).now.flame == {"k": "new"}


@pytest.mark.parametrize(
    "line", [b"[]", b"{", b'{"at": 99}', b'{"id": "x"}', b"\xff\xfe", b"[" * 100_000, b'{"id": 5}']
)
def test_damaged_lines_do_not_count(tmp_path, line):
    path = tmp_path / "j"
    filled(path)
    path.write_bytes(path.read_bytes() + line + b"\n")
    assert Journal(path).now.flame == {"k": 4}


def test_a_full_disk_is_said_and_later_changes_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "j"
    journal = filled(path)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    journal.commit({"k": 5}, "lost")
    assert "the disk is full" in journal.lost and journal.now.flame == {"k": 5}
    monkeypatch.undo()
    journal.commit({"k": 6}, "kept")
    assert journal.lost == "" and Journal(path).now.flame == {"k": 6}


def test_a_long_journal_is_cut_down_when_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 5)
    filled(tmp_path / "j", 30).go(2)
    again = Journal(tmp_path / "j")
    assert len(again.states) == 6 and again.now.flame == {"k": 2}
    assert len(Journal(tmp_path / "j").states) == 6


def test_two_studios_have_journals_of_their_own(tmp_path):
    with open_journal(tmp_path / "w") as one, open_journal(tmp_path / "w") as two:
        assert one.path != two.path
    with open_journal(tmp_path / "w") as again:
        assert again.path == one.path


def test_new_keeps_the_old_journal_beside(tmp_path):
    with open_journal(tmp_path) as one:
        one.commit({"k": 1}, "a")
    with open_journal(tmp_path, new=True) as two:
        assert two.now is None
        assert len(list(two.path.parent.glob("journal-*.jsonl"))) == 1


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="folder"), open_journal(tmp_path / "file"):
        pass
