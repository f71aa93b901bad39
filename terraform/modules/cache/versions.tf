terraform {
  # Write-only arguments need 1.11. The random values that they receive are in the first state and in its plan (docs/aws.md).
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source = "hashicorp/aws"
      # passwords_wo of a user needs 6.41; the other modules name the same version.
      version = ">= 6.41, < 7"
    }
  }
}
