from pathlib import Path

import msgspec

from zoetrope import settings

EXAMPLE = Path(__file__).parents[1] / "examples" / "zoetrope.toml"


def test_the_example_holds_every_setting_with_its_default():
    assert settings.load(EXAMPLE) == settings.Settings()
    text = EXAMPLE.read_text()

    def keys(struct):
        for field in msgspec.structs.fields(struct):
            inner = field.type
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                yield from keys(inner)
            else:
                yield field.name

    # Tables of their own, whose keys are looked for instead.
    tables = {"engines": settings.EngineSettings, "profiles": settings.ProfileSettings}
    for key in [*keys(settings.Settings), *(key for each in tables.values() for key in keys(each))]:
        if key not in tables:
            assert f"{key} =" in text, f"{key} is not shown in the example"
