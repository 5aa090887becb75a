variable "build_dir" {
  description = "Folder that `cauce build` wrote; its `project.json` has the values of cauce.yaml."
  type        = string
}

variable "environment" {
  description = "Name of the environment in cauce.yaml whose values they are."
  type        = string
}

variable "values" {
  description = "Values over those of project.json."
  type        = any
  default     = {}
}

variable "texts" {
  description = "JSON texts, by any key, with `$${{ env.x }}` inside their strings."
  type        = map(string)
}
