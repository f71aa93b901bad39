output "parts" {
  description = "US dollars of a month, by part."
  value       = { for name, dollars in local.parts : name => floor(dollars * 100 + 0.5) / 100 }
}

output "total" {
  description = "US dollars of a month."
  value       = floor(sum(values(local.parts)) * 100 + 0.5) / 100
}

output "assumed" {
  description = "What the numbers are for: tasks that run, GB of clients each way, capacity units of the load balancer, counts, date and region of the prices."
  value = {
    tasks  = local.tasks
    gb     = local.gb
    nlcu   = local.nlcu
    counts = var.counts
    # Seconds between two requests for the secrets.
    settings_interval = var.settings_interval
    date              = var.prices.date
    region            = var.prices.region
  }
}
