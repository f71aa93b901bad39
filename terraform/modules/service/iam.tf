# What a task may do. The execution role is used by ECS to start containers, the task role by what runs in them.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-task-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

locals {
  secret_keys = concat(var.kms_key_arn[*], var.secret_kms_key_arns)
}

data "aws_iam_policy_document" "task" {
  statement {
    sid       = "Settings"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.settings.arn}/config.toml"]
  }

  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for secret in values(local.secret_files) : secret.arn]
  }

  # It has no resources, and returns the secrets above alone.
  statement {
    sid       = "SecretsAtOnce"
    actions   = ["secretsmanager:BatchGetSecretValue"]
    resources = ["*"]
  }

  # It has no resources; the namespace is what can be restricted.
  statement {
    sid       = "Metrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [var.namespace]
    }
  }

  dynamic "statement" {
    for_each = length(local.secret_keys) > 0 ? [local.secret_keys] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role_policy" "task" {
  name   = "task"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

resource "aws_iam_role" "execution" {
  name_prefix        = "${var.name}-execution-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

locals {
  # The repository, if the image is in one of ECR: account, region, name.
  repository = try(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com/([^:@]+)", var.image), null)
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  dynamic "statement" {
    for_each = local.repository == null ? [] : [local.repository]
    content {
      sid       = "Image"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["arn:${data.aws_partition.current.partition}:ecr:${local.repository[1]}:${local.repository[0]}:repository/${local.repository[2]}"]
    }
  }

  # It has no resources.
  dynamic "statement" {
    for_each = local.repository == null ? [] : [local.repository]
    content {
      sid       = "Registry"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

# The migration task alone can read the password of the owner of the database. What it needs is injected, because it ends at once.
resource "aws_iam_role" "migration" {
  count              = var.shared_secrets == null ? 1 : 0
  name_prefix        = "${var.name}-migration-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

data "aws_iam_policy_document" "migration" {
  source_policy_documents = [data.aws_iam_policy_document.execution.json]

  statement {
    sid     = "Secrets"
    actions = ["secretsmanager:GetSecretValue"]
    resources = concat([
      var.database.owner_password_arn,
      var.database.password_arn,
      local.encryption_key_arn,
    ], var.previous_encryption_key[*].arn)
  }

  dynamic "statement" {
    for_each = length(local.secret_keys) > 0 ? [local.secret_keys] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role_policy" "migration" {
  count  = var.shared_secrets == null ? 1 : 0
  name   = "migration"
  role   = aws_iam_role.migration[0].id
  policy = data.aws_iam_policy_document.migration.json
}
