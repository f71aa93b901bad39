terraform {
  # Write-only arguments need 1.11. The random values that they receive are in the first state and in its plan (docs/aws.md).
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.41, < 7"
    }
  }
}
