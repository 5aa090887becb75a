"""Each replaced function is still the one that its replacement was written for; PATCHES.md is what the code says."""

import io
import unittest
from contextlib import redirect_stdout
from pathlib import Path

from tests.harness import ministack_or_skip


class Guards(unittest.TestCase):
    def setUp(self):
        ministack_or_skip()
        from cauce_emulator import patches, patching  # noqa: F401

        self.patching = patching

    def test_fingerprints(self):
        for patch in self.patching.PATCHES:
            with self.subTest(patch.key):
                self.patching.check(patch)

    def test_signatures(self):
        import inspect

        for patch in self.patching.PATCHES:
            with self.subTest(patch.key):
                function = self.patching.locate(patch)[2]
                names = list(inspect.signature(function).parameters)
                self.assertEqual(names, list(inspect.signature(patch.replacement).parameters))

    def test_a_change_is_noticed(self):
        from dataclasses import replace

        changed = replace(self.patching.PATCHES[0], fingerprint="0" * 16)
        with self.assertRaises(self.patching.Mismatch):
            self.patching.check(changed)
        with self.assertRaises(self.patching.Mismatch):
            self.patching.check(replace(changed, name="_gone"))

    def test_each_says_why(self):
        for patch in self.patching.PATCHES:
            with self.subTest(patch.key):
                self.assertTrue(patch.docs.startswith("https://docs.aws.amazon.com/"))
                self.assertGreater(len(patch.wrong), 20)

    def test_list_is_up_to_date(self):
        import list_patches

        said = io.StringIO()
        with redirect_stdout(said):
            list_patches.main()
        written = (Path(__file__).resolve().parent.parent / "PATCHES.md").read_text()
        self.assertEqual(written, said.getvalue(), "stale: python list_patches.py > PATCHES.md")


if __name__ == "__main__":
    unittest.main()
