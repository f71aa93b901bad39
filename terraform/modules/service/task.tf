# A task: the server, and the container that keeps its settings and secrets current. The root of both cannot be written, and neither
# has a capability.

locals {
  folder = "/run/realtime"
  user   = "10001:10001"
  # MiB of the container beside the server: the AWS CLI takes about 100.
  settings_memory = 256
  logs = {
    for prefix in ["server", "settings", "role", "migrate"] : prefix => {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.current.region
        awslogs-stream-prefix = prefix
        # The server does not wait for CloudWatch; lines beyond the buffer are dropped.
        mode            = "non-blocking"
        max-buffer-size = "8m"
      }
    }
  }
  confined = {
    readonlyRootFilesystem = true
    privileged             = false
    linuxParameters        = { initProcessEnabled = false, capabilities = { add = [], drop = ["ALL"] } }
  }

  # How the server reaches its database, for a task of either kind.
  database_environment = {
    DB_HOST                   = var.database.host
    DB_PORT                   = tostring(var.database.port)
    DB_NAME                   = var.database.database
    DB_USER                   = var.database.role
    DB_SSL_CA_CERT            = "${local.folder}/database-ca.pem"
    REALTIME__STORE__TLS_MODE = "verify"
  }

  # What follows from the other resources. It precedes config.toml, where it could contradict them.
  server_environment = merge(local.database_environment, {
    REALTIME_CONFIG                             = "${local.folder}/config.toml"
    REALTIME__ADMIN__JWT_SECRETS_FILE           = "${local.folder}/operators"
    REALTIME__AUTH__JWT_SECRETS_FILE            = "${local.folder}/jwt"
    REDIS_URL_FILE                              = "${local.folder}/redis-url"
    DB_PASSWORD_FILE                            = "${local.folder}/database-password"
    DB_ENC_KEY_GCM_FILE                         = "${local.folder}/encryption-key"
    REALTIME__REGIONS__NAME                     = data.aws_region.current.region
    REALTIME__SERVER__DATA_DIR                  = "/var/lib/realtime"
    REALTIME__SERVER__DRAIN_DELAY               = "${var.drain.delay}s"
    REALTIME__SERVER__DRAIN_TIMEOUT             = "${var.drain.timeout}s"
    REALTIME__SERVER__SHUTDOWN_TIMEOUT          = "${var.drain.shutdown}s"
    REALTIME__SERVER__HOST                      = "0.0.0.0"
    REALTIME__SERVER__INTERNAL__EXCLUSIVE       = "true"
    REALTIME__SERVER__INTERNAL__PORT            = tostring(local.internal_port)
    REALTIME__SERVER__MAX_CONNECTIONS           = tostring(var.max_connections)
    REALTIME__SERVER__PING_INTERVAL             = "${var.ping_interval}s"
    REALTIME__SERVER__PORT                      = tostring(local.port)
    REALTIME__SERVER__PROXY_PROTOCOL_FROM       = join(",", var.load_balancer.cidrs)
    REALTIME__SERVER__PUBLIC_URL                = var.public_url
    REALTIME__STORE__MIGRATE                    = "never"
    REALTIME__TELEMETRY__CLOUDWATCH__DIMENSIONS = jsonencode({ service = var.name })
    REALTIME__TELEMETRY__CLOUDWATCH__ENABLED    = "true"
    REALTIME__TELEMETRY__CLOUDWATCH__NAMESPACE  = var.namespace
    REALTIME__TELEMETRY__CLOUDWATCH__REGION     = data.aws_region.current.region
    REALTIME__TELEMETRY__LOG_FORMAT             = "json"
    REALTIME__TELEMETRY__LOG_HEALTH_CHECKS      = "false"
    }, var.clients_are_hidden ? { REALTIME__SERVER__UNLIMITED_ADDRESSES = "0.0.0.0/0" } : {},
    { for name in keys(var.setting_secrets) : "${name}_FILE" => "${local.folder}/${lower(replace(name, "_", "-"))}" },
    var.previous_encryption_key == null ? {} : { REALTIME__STORE__PREVIOUS_ENCRYPTION_KEY_FILE = "${local.folder}/previous-encryption-key" }
  )

  settings_environment = {
    BUCKET       = aws_s3_bucket.settings.id
    KEY          = aws_s3_object.settings.key
    FOLDER       = local.folder
    INTERVAL     = tostring(var.settings_interval)
    SECRETS      = join("\n", [for file, secret in local.secret_files : join(" ", concat([file, secret.arn], secret.around))])
    CERTIFICATES = var.database.certificates
  }

  server = merge(local.confined, {
    name      = "server"
    image     = var.image
    essential = true
    # What server.memory_budget is half of.
    memory           = var.memory - local.settings_memory
    user             = local.user
    command          = ["serve"]
    environment      = [for name, value in local.server_environment : { name = name, value = value }]
    portMappings     = [for port in [local.port, local.internal_port] : { containerPort = port, hostPort = port, protocol = "tcp" }]
    stopTimeout      = local.stop_timeout
    ulimits          = [{ name = "nofile", softLimit = 65535, hardLimit = 65535 }]
    logConfiguration = local.logs.server
    # At the internal port, which needs no PROXY header. With the address it reads no settings, which could be refused.
    healthCheck = { command = ["CMD", "realtime-server", "health", "--url", "http://127.0.0.1:${local.internal_port}/health"], interval = 10, timeout = 5, retries = 3, startPeriod = 30 }
    dependsOn   = [{ containerName = "settings", condition = "HEALTHY" }]
    mountPoints = [
      { sourceVolume = "settings", containerPath = local.folder, readOnly = true },
      { sourceVolume = "data", containerPath = "/var/lib/realtime", readOnly = false },
    ]
    systemControls = []
    volumesFrom    = []
  })

  settings = merge(local.confined, {
    name  = "settings"
    image = var.settings_image
    # When it ends after a minute or more, it is started again, and the server goes on with the settings that it has. A minute is the
    # least that ECS accepts. By default it is five, within which a container that ends is not started again while the task runs.
    essential     = false
    restartPolicy = { enabled = true, restartAttemptPeriod = 60 }
    memory        = local.settings_memory
    # The folder belongs to root. Without capabilities that is no other right here.
    user             = "0:0"
    entryPoint       = ["/bin/sh", "-c"]
    command          = [file("${path.module}/settings.sh")]
    environment      = [for name, value in local.settings_environment : { name = name, value = value }]
    stopTimeout      = 5
    logConfiguration = local.logs.settings
    healthCheck      = { command = ["CMD-SHELL", "test -e ${local.folder}/complete"], interval = 5, timeout = 2, retries = 3, startPeriod = 60 }
    mountPoints      = [{ sourceVolume = "settings", containerPath = local.folder, readOnly = false }]
    portMappings     = []
    systemControls   = []
    volumesFrom      = []
  })
}

resource "aws_ecs_task_definition" "server" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.server, local.settings])
  tags                     = var.tags
  # A revision that is deregistered cannot be returned to, and a new one replaces it before the service has changed.
  skip_destroy = true

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  # They end with the task.
  volume {
    name = "settings"
  }

  volume {
    name = "data"
  }
}
