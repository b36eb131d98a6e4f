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
    """Everything that artgan expects of a plugin, as tests for pytest.

    In a test file of the plugin::

        from artgan.testing import PluginTests

        class TestPointillism(PluginTests):
            plugin = "pointillism"
            config = {"width": 4}      # for small networks and fast tests
            options = {"steps": 2}     # painting options that are required or make painting fast
            training = {"size": 32}    # options of artgan train, if the defaults here do not fit

    The plugin must be installed (``pip install -e .``), since it is discovered in the same way as by artgan. Tests of
    parts that it does not have are skipped with the reason, as are tests that depend on another, failing test, which
    is named.

    Attributes:
        plugin: the plugin's name.
        config: values of its config.
        options: values of its painting options.
        training: values of :class:`artgan.training.options.TrainingOptions`. By default the pictures are as small as
            the networks allow, at least 32 pixels, in batches of two.
    """
