terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source                = "hashicorp/aws"
      version               = ">= 6.41, < 7"
      configuration_aliases = [aws.home_region]
    }
  }
}
