"""Puts the recipes and the released checkpoints, which stand at the top level, into the wheel."""

from pathlib import Path
from shutil import copytree

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithData(build_py):
    """Copies `recipes/` and `checkpoints/` into the package that is being built."""

    def run(self) -> None:
        """Build, then copy; an editable install reads the folders where they stand."""
        super().run()
        if self.editable_mode:
            return
        for name in ("recipes", "checkpoints"):
            copytree(Path(name), Path(self.build_lib) / "ssl_ecg" / f"_{name}", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithData})
