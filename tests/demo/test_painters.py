"""What the page offers: what works here by readable names, and what to install for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.plugins import InstallPlugin
from support.styles import install_base, style_picture

from artgan.demo import painters
from artgan.demo.painters import offer, title_of
from artgan.errors import ArtganError
from artgan.models.registry import read_registry
from artgan.models.styles import save_style

PLUGINS = "anystyle,cyclegan,dcgan,fastgan,gatys,sngan"


def test_all_is_offered_where_all_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_base(tmp_path, monkeypatch)
    offered = offer()
    titles = [painter.title for painter in offered.painters.values() if painter.has_short_name]
    styles = ["Your own style picture", "Your style: slow, closest"]
    assert titles == ["Claude Monet", "Paul Cezanne", "Vincent van Gogh", *styles]
    assert offered.painters["cyclegan.monet-fine"].title == "Monet fine"
    assert not offered.painters["cyclegan.monet-fine"].has_strokes
    assert offered.painters["monet"].palette == read_registry().entry("monet").brushwork["palette"]
    noise = {"dream": "Claude Monet, by fastgan", "dcgan.monet": "Monet, by dcgan", "sngan.monet": "Monet, by sngan"}
    assert offered.noise == {**noise, "fastgan.vangogh": "Vangogh, by fastgan"}
    assert next(iter(offered.noise)) == "dream"
    assert (offered.for_more_painters, offered.for_styles, offered.for_noise) == ("", "", "")
    assert offered.painter(None).title == "Claude Monet"
    with pytest.raises(ArtganError, match="no painter named 'picasso' works here; there are monet, "):
        offered.painter("picasso")


def test_a_light_installation_has_three_painters_and_names_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painters, "find_spec", lambda name: None)
    monkeypatch.setattr("artgan.models.entry.find_plugins", dict)
    monkeypatch.setattr("artgan.models.entry.plugin_works", lambda name: False)
    offered = offer()
    assert [*offered.painters] == ["monet", "cezanne", "vangogh"]
    assert all(painter.has_strokes and not painter.takes_style for painter in offered.painters.values())
    assert offered.noise == {}
    assert offered.for_more_painters.startswith("More painters: pip install ")
    assert 'pip install "artgan[cyclegan]"' in offered.for_more_painters
    assert offered.for_styles.startswith('The style of any picture: pip install "artgan[gatys]"')
    assert 'pip install "artgan[dcgan]"' in offered.for_noise
    assert 'pip install "artgan[sngan]"' in offered.for_noise


def test_a_style_is_found_by_the_manifest_s_options(install_plugin: InstallPlugin) -> None:
    def plugin(name: str, option: str) -> Path:
        return install_plugin(  # type: ignore[no-any-return]  # a path
            name,
            f"""
from dataclasses import dataclass
from artgan.plugin import Plugin, option

@dataclass(frozen=True)
class Options:
    {option}: tuple[str, ...] = option((), "a picture")

plugin = Plugin(name="{name}", summary="", config="{name}_plugin:Options", options="{name}_plugin:Options")
""",
        )

    entry = read_registry().entry("gatys")
    plugin("pastiche", "style")
    plugin("collage", "parts")
    from dataclasses import replace

    assert replace(entry, plugin="pastiche").takes_style()
    assert not replace(entry, plugin="collage").takes_style()
    assert not replace(entry, plugin="missing").takes_style()


def test_titles_are_words() -> None:
    registry = read_registry()
    assert {name: title_of(entry) for name, entry in registry.entries.items() if entry.plugin == "gatys"} == {
        "gatys.vgg16": "Vgg16",
        "gatys.vgg19": "Gatys",
    }


def test_saved_styles_are_painters_and_the_quick_style_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_base(tmp_path, monkeypatch)
    save_style("starry-night", [str(style_picture(tmp_path / "waves.jpg"))])
    offered = offer()
    shown = [painter for painter in offered.painters.values() if painter.has_short_name]
    assert [painter.title for painter in shown] == [
        *("Claude Monet", "Paul Cezanne", "Vincent van Gogh", "Starry night"),
        *("Your own style picture", "Your style: slow, closest"),
    ]
    assert [painter.name for painter in shown if painter.takes_style] == ["anystyle", "gatys"]
    saved = offered.painters["starry-night"]
    assert saved.thumbnail == tmp_path / "data/artgan/models/starry-night/style.jpg"
    assert not saved.takes_style
    monkeypatch.delenv("ARTGAN_REGISTRY")  # and with it the base
    read_registry.cache_clear()
    assert "starry-night" not in offer().painters
