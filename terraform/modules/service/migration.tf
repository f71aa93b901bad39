# What a version needs in the database, done by a task of its own before any server of the version starts: the role of the server
# (role.sh, as the owner), and then the tables (realtime-server migrate, as the role). The service of another region (`shared_secrets`) has
# done it, where there is one.

locals {
  role_environment = {
    CERTIFICATES  = var.database.certificates
    FOLDER        = local.folder
    PGDATABASE    = var.database.database
    PGHOST        = var.database.host
    PGPORT        = tostring(var.database.port)
    PGSSLMODE     = "verify-full"
    PGSSLROOTCERT = "${local.folder}/database-ca.pem"
    PGUSER        = var.database.owner
    ROLE          = var.database.role
    ROLE_SQL      = file("${path.module}/role.sql")
  }

  role = merge(local.confined, {
    name        = "role"
    image       = var.psql_image
    essential   = false
    user        = "0:0"
    entryPoint  = ["/bin/sh", "-c"]
    command     = [file("${path.module}/role.sh")]
    environment = [for name, value in local.role_environment : { name = name, value = value }]
    secrets = [
      # RDS keeps it as JSON.
      { name = "PGPASSWORD", valueFrom = "${var.database.owner_password_arn}:password::" },
      { name = "ROLE_PASSWORD", valueFrom = var.database.password_arn },
    ]
    logConfiguration = local.logs.role
    mountPoints      = [{ sourceVolume = "settings", containerPath = local.folder, readOnly = false }]
    portMappings     = []
    systemControls   = []
    volumesFrom      = []
  })

  migrate = merge(local.confined, {
    name        = "migrate"
    image       = var.image
    essential   = true
    user        = local.user
    command     = ["migrate"]
    environment = [for name, value in local.database_environment : { name = name, value = value }]
    secrets = concat([
      { name = "DB_PASSWORD", valueFrom = var.database.password_arn },
      { name = "DB_ENC_KEY_GCM", valueFrom = local.encryption_key_arn },
    ], [for secret in var.previous_encryption_key[*] : { name = "REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY", valueFrom = secret.arn }])
    dependsOn        = [{ containerName = "role", condition = "SUCCESS" }]
    logConfiguration = local.logs.migrate
    mountPoints = [
      { sourceVolume = "settings", containerPath = local.folder, readOnly = true },
      { sourceVolume = "data", containerPath = "/var/lib/realtime", readOnly = false },
    ]
    portMappings   = []
    systemControls = []
    volumesFrom    = []
  })
}

resource "aws_ecs_task_definition" "migration" {
  count                    = var.shared_secrets == null ? 1 : 0
  family                   = "${var.name}-migration"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.migration[0].arn
  container_definitions    = jsonencode([local.role, local.migrate])
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "settings"
  }

  volume {
    name = "data"
  }

  depends_on = [aws_secretsmanager_secret_version.encryption_key, aws_iam_role_policy.migration]
}

# Terraform has no resource for a task that ends, so this needs the AWS CLI where `terraform apply` runs. Another image, and a
# change of anything else that the task consists of, runs it again.
resource "terraform_data" "migration" {
  count            = var.shared_secrets == null ? 1 : 0
  triggers_replace = [aws_ecs_task_definition.migration[0].arn]

  provisioner "local-exec" {
    command = "${path.module}/run-migration"
    environment = {
      AWS_REGION      = data.aws_region.current.region
      CLUSTER         = aws_ecs_cluster.this.name
      TASK_DEFINITION = aws_ecs_task_definition.migration[0].arn
      SUBNETS         = join(",", var.subnet_ids)
      SECURITY_GROUP  = aws_security_group.this.id
      LOG_GROUP       = aws_cloudwatch_log_group.this.name
    }
  }

  depends_on = [aws_vpc_security_group_egress_rule.all]
}
