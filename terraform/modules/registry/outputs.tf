output "url" {
  description = "Address of the repository; an image is this, a colon and its version."
  value       = aws_ecr_repository.this.repository_url
}

locals {
  tag = try(regex("^[^@]+:([\\w.-]+)$", var.image)[0], "VERSION")
}

output "push" {
  description = "The commands that build the image and push it, anywhere in a clone of this project."
  value       = <<-TEXT
    aws ecr get-login-password --region ${data.aws_region.current.region} | docker login --username AWS --password-stdin ${split("/", aws_ecr_repository.this.repository_url)[0]}
    docker buildx build --platform linux/amd64 --tag ${aws_ecr_repository.this.repository_url}:${local.tag} --push "$(git rev-parse --show-toplevel)"
  TEXT
}
