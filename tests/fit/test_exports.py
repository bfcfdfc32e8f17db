"""The names that the package exports."""

import pkgutil

import fractalkit.fit as fit


def test_every_name_is_there_and_none_is_a_module():
    assert set(fit.__all__) == set(fit._HOMES)
    assert all(callable(getattr(fit, name)) for name in fit.__all__)
    assert not {m.name for m in pkgutil.iter_modules(fit.__path__)} & set(fit.__all__)
