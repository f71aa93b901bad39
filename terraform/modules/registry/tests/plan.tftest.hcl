# The registry: what is pushed stays what it is.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

run "repository" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "A version could become another image."
  }
  assert {
    condition     = one(aws_ecr_repository.this.image_scanning_configuration).scan_on_push
    error_message = "Images are not scanned."
  }
  assert {
    condition     = length(regexall("\n", trimspace(output.push))) == 1
    error_message = "Building and pushing takes two commands."
  }
  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this.policy).rules : rule.selection.tagStatus] == ["untagged"]
    error_message = "Versions that could be rolled back to expire."
  }
}

run "push_has_the_tag_of_the_image" {
  command = plan
  variables {
    image = "registry.example.com:5000/realtime-server:0.1.0"
  }
  assert {
    condition     = strcontains(output.push, ":0.1.0 --push \"$(git rev-parse --show-toplevel)\"")
    error_message = "What is pushed is another version than tasks run, or is built from the folder of Terraform."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Realtime"
  }
  expect_failures = [var.name]
}

