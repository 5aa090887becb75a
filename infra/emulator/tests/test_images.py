"""The registry says which images it has, and refuses to describe those that it has not."""

import unittest

from tests.harness import Emulator, Refused


class Images(unittest.TestCase):
    def test_what_is_not_pushed_is_missing(self):
        cloud = Emulator()
        try:
            cloud.call("ecr", "CreateRepository", repositoryName="team/loader")
            asked = {"repositoryName": "team/loader", "imageIds": [{"imageTag": "1.2"}]}
            with self.assertRaises(Refused) as refused:
                cloud.call("ecr", "DescribeImages", **asked)
            self.assertEqual(refused.exception.code, "ImageNotFoundException")
            cloud.call("ecr", "PutImage", repositoryName="team/loader", imageTag="1.2", imageManifest="{}")
            (image,) = cloud.call("ecr", "DescribeImages", **asked)["imageDetails"]
            self.assertEqual(image["imageTags"], ["1.2"])
            digest = [{"imageDigest": image["imageDigest"]}]
            self.assertEqual(len(cloud.call("ecr", "DescribeImages", repositoryName="team/loader", imageIds=digest)["imageDetails"]), 1)
            with self.assertRaises(Refused) as refused:
                cloud.call("ecr", "DescribeImages", repositoryName="nobody's", imageIds=digest)
            self.assertEqual(refused.exception.code, "RepositoryNotFoundException")
        finally:
            cloud.stop()
