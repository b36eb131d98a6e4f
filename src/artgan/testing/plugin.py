"""The class that a plugin's author subclasses."""

from __future__ import annotations

from artgan.testing.manifest import ConfigTests, ManifestTests
from artgan.testing.models import MetricTests, ModelTests
from artgan.testing.networks import DiscriminatorTests, GeneratorTests
from artgan.testing.training import TrainerTests


# pytest runs the tests of the last base first.
class PluginTests(
    MetricTests, ModelTests, TrainerTests, DiscriminatorTests, GeneratorTests, ConfigTests, ManifestTests
):
    """All that artgan expects of a plugin, as tests for pytest.

    In a test file of the plugin::

        from artgan.testing import PluginTests

        class TestPointillism(PluginTests):
            plugin = "pointillism"
            config = {"width": 4}      # what makes networks small and the tests quick
            options = {"steps": 2}     # options of painting, which make it possible and quick
            training = {"size": 32}    # options of artgan train, if the defaults here will not do

    The plugin must be installed (``pip install -e .``), since it is found as artgan finds it. Parts that it does not
    have are skipped, with the reason; so is what cannot be tested while another test fails, which is named then.

    Attributes:
        plugin: the plugin's name.
        config: values of its config.
        options: values of its painting options.
        training: values of :class:`artgan.training.options.TrainingOptions`. By default the pictures are as small as
            the networks take, at least 32 pixels, and two make a batch.
    """
