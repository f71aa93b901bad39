# What AWS would answer, for all tests: they need no account. Values that a plan shows only after an apply are there during the plan.

mock_data "aws_availability_zones" {
  defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
}

mock_data "aws_region" {
  defaults = { region = "eu-central-1", name = "eu-central-1", id = "eu-central-1" }
}

mock_data "aws_route53_zone" {
  defaults = { name = "example.com" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws" }
}

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}

mock_data "aws_iam_policy_document" {
  defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
}

mock_data "aws_secretsmanager_random_password" {
  defaults = { random_password = "abcdefghijklmnopqrstuvwxyz012345" }
}

mock_resource "aws_rds_cluster" {
  defaults = {
    endpoint           = "realtime.cluster-example.eu-central-1.rds.amazonaws.com"
    master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:owner" }]
  }
}

mock_resource "aws_elasticache_replication_group" {
  defaults = { primary_endpoint_address = "master.realtime.example.euc1.cache.amazonaws.com" }
}

mock_resource "aws_secretsmanager_secret" {
  defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made", id = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made" }
}

mock_resource "aws_acm_certificate" {
  defaults = {
    arn = "arn:aws:acm:eu-central-1:123456789012:certificate/example"
    domain_validation_options = [{
      domain_name           = "realtime.example.com"
      resource_record_name  = "_example.realtime.example.com"
      resource_record_type  = "CNAME"
      resource_record_value = "_example.acm-validations.aws"
    }]
  }
}

mock_resource "aws_acm_certificate_validation" {
  defaults = { certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/example" }
}

mock_resource "aws_lb" {
  defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/realtime/0123456789abcdef", arn_suffix = "net/realtime/0123456789abcdef", zone_id = "Z0EXAMPLE" }
}

mock_resource "aws_lb_target_group" {
  defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/realtime/0123456789abcdef", arn_suffix = "targetgroup/realtime/0123456789abcdef" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/example" }
}

mock_resource "aws_s3_bucket" {
  defaults = { id = "realtime-example", arn = "arn:aws:s3:::realtime-example" }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:realtime-alarms" }
}

mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/example" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:example" }
}

mock_resource "aws_ecs_cluster" {
  defaults = { id = "arn:aws:ecs:eu-central-1:123456789012:cluster/realtime", arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/realtime" }
}

mock_resource "aws_ecs_task_definition" {
  defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/realtime:1" }
}

mock_resource "aws_ecr_repository" {
  defaults = { repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server" }
}
