# Fills `${{ env.x }}` in what `cauce build` wrote: texts that hold JSON, with the values of one environment. It makes nothing.

locals {
  project = try(jsondecode(file("${var.build_dir}/project.json")), {})

  # Values of the environment, as JSON for the engine and as text for what is filled in here.
  values = merge(try(local.project.environments[var.environment].values, {}), var.values)
  # Inside a JSON string: escaped, without quotes of its own.
  value_jsons = { for key, value in local.values : key => try(jsonencode(tostring(value)), jsonencode(jsonencode(value))) }
  value_texts = { for key, text in local.value_jsons : key => substr(text, 1, length(text) - 2) }

  # Texts say ${env.NAME} or ${{ env.NAME }}. Both become a control character, which no JSON text holds, the name, and
  # another; then the text is cut there and joined with the values between.
  placeholder = "/\\$\\{(?:\\{\\s*)?env\\.([a-z][a-z0-9_]*)\\s*\\}?\\}/"
  before      = "\u0001"
  after       = "\u0002"

  # The first piece of each text stands before any name; each other one begins with a name.
  pieces = {
    for key, text in var.texts :
    key => split(local.before, replace(text, local.placeholder, join("", [local.before, "$1", local.after])))
  }

  filled = {
    for key, pieces in local.pieces : key => join("", concat(
      [pieces[0]],
      flatten([for piece in slice(pieces, 1, length(pieces)) : [
        lookup(local.value_texts, split(local.after, piece)[0], ""),
        join(local.after, slice(split(local.after, piece), 1, length(split(local.after, piece)))),
      ]]),
    ))
  }

  missing = sort(setsubtract(
    flatten([for pieces in values(local.pieces) : [for piece in slice(pieces, 1, length(pieces)) : split(local.after, piece)[0]]]),
    keys(local.value_texts),
  ))
}
