"""The container registry: what is not there is said to be missing."""

from ministack.core.responses import error_response_json
from ministack.services import ecr

from cauce_emulator.patching import original, replaces


@replaces("services.ecr", "_describe_images", "86c7f7b273ab2316",
          """Leaves images that are not there out of its answer. AWS refuses the request: ImageNotFoundException, by which
          `cauce deploy` knows that an image is still to be pushed.""",
          "https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html")
def describe_images(data):
    name = data.get("repositoryName", "")
    for identifier in data.get("imageIds") or [] if name in ecr._repositories else []:
        if ecr._find_image(name, identifier) is None:
            return error_response_json(
                "ImageNotFoundException",
                f"The image with imageId {identifier} does not exist within the repository with name '{name}'", 400)
    return original("services.ecr._describe_images")(data)
