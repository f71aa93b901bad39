# config.toml as an object in S3. A container beside each server (settings.sh) copies it into the folder that the server watches,
# so a change is applied by running tasks; why S3, and not EFS or AppConfig, is in docs/aws.md.

resource "aws_s3_bucket" "settings" {
  bucket_prefix = "${var.name}-settings-"
  tags          = var.tags
}

resource "aws_s3_object" "settings" {
  bucket  = aws_s3_bucket.settings.id
  key     = "config.toml"
  content = var.config
  # A change of the text is a change of the object.
  etag = md5(var.config)
  tags = var.tags
  # A migration that fails leaves the settings as they are, too.
  depends_on = [terraform_data.migration]
}

# What was there before a change that turns out wrong.
resource "aws_s3_bucket_versioning" "settings" {
  bucket = aws_s3_bucket.settings.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "settings" {
  bucket     = aws_s3_bucket.settings.id
  depends_on = [aws_s3_bucket_versioning.settings]

  rule {
    id     = "expire"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 90
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_public_access_block" "settings" {
  bucket                  = aws_s3_bucket.settings.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "settings" {
  bucket = aws_s3_bucket.settings.id

  # With the keys of S3: there are no secrets in it, and the etag is then that of the text.
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

data "aws_iam_policy_document" "settings" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.settings.arn, "${aws_s3_bucket.settings.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "settings" {
  bucket     = aws_s3_bucket.settings.id
  policy     = data.aws_iam_policy_document.settings.json
  depends_on = [aws_s3_bucket_public_access_block.settings]
}
