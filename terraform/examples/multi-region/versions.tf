terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.41, < 7"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { application = local.name }
  }
}
