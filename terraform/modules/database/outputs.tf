output "connection" {
  description = "What a server needs to connect: host, port, certificates, database, role, and the secret with the password of the role."
  value = {
    host         = aws_rds_cluster.this.endpoint
    port         = local.port
    certificates = local.certificates
    database     = var.database_name
    role         = var.role
    password_arn = aws_secretsmanager_secret.role.arn
    # Only the migration task uses the owner.
    owner              = aws_rds_cluster.this.master_username
    owner_password_arn = one(aws_rds_cluster.this.master_user_secret).secret_arn
  }
  precondition {
    condition     = local.certificates != null
    error_message = "The module has no certificates of the databases of ${data.aws_region.current.region}: give `certificates`, with what https://truststore.pki.rds.amazonaws.com/${data.aws_region.current.region}/${data.aws_region.current.region}-bundle.pem has."
  }
  # Before these a task would connect in vain.
  depends_on = [
    aws_rds_cluster_instance.this,
    aws_secretsmanager_secret_version.role,
    aws_vpc_security_group_ingress_rule.client,
    aws_vpc_security_group_ingress_rule.network,
  ]
}

output "monitored" {
  description = "What alarms need of the cluster: its name, and how many connections an instance accepts."
  value = {
    cluster_id = aws_rds_cluster.this.cluster_identifier
    # The default of Aurora, which follows the highest capacity and is 189, 823, 1,669 and 3,360 for 1, 4, 8 and 16 of it:
    # docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
    connections_max = min(var.min_capacity < 1 ? 2000 : 5000, floor(211 * var.max_capacity - 22))
  }
}
