# What config.toml must not have in it, for the validations in variables_secrets.tf.

locals {
  # The CDK app reads the file too, and compares it with the schema of the settings.
  refused_keys = jsondecode(file("${path.module}/refused-keys.json"))
  # A key in its table, below the name of its table, or in an inline table.
  before_key = "(?m)^([^#\\n]*[{,])?[ \\t]*([\"']?[\\w-]+[\"']?[ \\t]*\\.[ \\t]*)*[\"']?"
  secrets_in_config = [
    "${local.before_key}(${join("|", local.refused_keys.secrets)})[\"']?[ \\t]*=",
    # Tables have these names as well, and no text.
    "${local.before_key}(${join("|", local.refused_keys.secret_texts)})[\"']?[ \\t]*=[ \\t]*[\"']",
    # A password in an address, also in its query, and a key that signs as well as verifies.
    "(?m)^[^#\\n]*://[^\\s/\"'@:]*:[^\\s/\"'@]+@",
    "(?m)^[^#\\n]*://[^\\s\"']*[?&]([\\w-]*(password|passwd|token|secret|api-?key|apikey))=[^&\\s\"']",
    "(?m)^[^#\\n]*\\bkty\\W{1,12}oct\\b",
  ]
  limit_per_address_in_config = "${local.before_key}(${join("|", local.refused_keys.limits_per_address)})[\"']?[ \\t]*="
}
