"""Commands on recipes: list, show, copy, check."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import command, overrides


def add_recipes(commands: Any) -> None:
    """Add `recipes`."""
    parser = commands.add_parser("recipes", help="List, show, copy and check recipes.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    command(actions, "list", list_recipes, "List the recipes that come with the library.")
    show = command(actions, "show", show_recipe, "Print a recipe with every default filled in.")
    show.add_argument("recipe")
    overrides(show, "such as train.lr=1e-3")
    copy = command(actions, "copy", copy_recipe, "Copy a recipe to a file of your own.")
    copy.add_argument("recipe")
    copy.add_argument("target", type=Path)
    check = command(actions, "check", check_recipe, "Check a recipe without running it.")
    check.add_argument("recipe")
    overrides(check, "such as train.lr=1e-3")


def list_recipes(options: argparse.Namespace) -> None:
    """List the recipes with the first line of what each is about."""
    from ssl_ecg.recipes import list_recipes as shipped
    from ssl_ecg.recipes import read_about

    for name, path in shipped().items():
        print(f"{name:24} {read_about(path)}")


def show_recipe(options: argparse.Namespace) -> None:
    """Print a bound recipe."""
    from ssl_ecg.recipes import dump_recipe, load_recipe

    print(dump_recipe(load_recipe(options.recipe, options.overrides)), end="")


def copy_recipe(options: argparse.Namespace) -> None:
    """Copy a recipe."""
    from ssl_ecg.recipes import copy_recipe as copy

    print(copy(options.recipe, options.target))


def check_recipe(options: argparse.Namespace) -> None:
    """Check a recipe; errors say what is wrong with it."""
    from ssl_ecg.recipes import load_recipe

    load_recipe(options.recipe, options.overrides)
    print(f"{options.recipe}: fine")
