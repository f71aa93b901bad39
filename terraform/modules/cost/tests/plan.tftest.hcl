# The formula, against numbers that were computed by hand. A month has 730 hours.

run "small_without_clients" {
  command = plan

  # 2 tasks x 730 h x (0.5 x 0.04048 + 2 x 0.004445)
  assert {
    condition     = abs(output.parts.tasks - 42.53) <= 0.01
    error_message = "Tasks are ${output.parts.tasks}."
  }
  # 2 instances x 0.5 x 730 h x 0.12, 10 GB x 0.10, 20 million x 0.20
  assert {
    condition     = abs(output.parts.database - 92.60) <= 0.01
    error_message = "The database is ${output.parts.database}."
  }
  # 2 nodes x 730 h x 0.0256
  assert {
    condition     = abs(output.parts.cache - 37.38) <= 0.01
    error_message = "The cache is ${output.parts.cache}."
  }
  # 730 h x 0.0225
  assert {
    condition     = abs(output.parts.load_balancer - 16.43) <= 0.01
    error_message = "The load balancer is ${output.parts.load_balancer}."
  }
  # 2 x 730 h x 0.045, 2 x 2 GB x 0.045; 4 addresses x 730 h x 0.005
  assert {
    condition     = abs(output.parts.nat - 65.88) <= 0.01 && abs(output.parts.addresses - 14.60) <= 0.01
    error_message = "NAT and addresses are ${output.parts.nat} and ${output.parts.addresses}."
  }
  # 120 x 0.30, 69 x 0.10, 3, 87,600 requests x 0.01 / 1,000, 2 GB x 0.50
  assert {
    condition     = abs(output.parts.monitoring - 47.78) <= 0.01
    error_message = "Monitoring is ${output.parts.monitoring}."
  }
  # 6 x 0.40, a key, 2 x 2,628,000 s / 30 s x 0.05 / 10,000
  assert {
    condition     = abs(output.parts.secrets - 4.28) <= 0.01
    error_message = "Secrets and keys are ${output.parts.secrets}."
  }
  assert {
    condition     = output.parts.data_out == 0 && output.parts.between_zones == 0 && output.parts.accelerator == 0
    error_message = "There is traffic without clients."
  }
}

run "large_with_100000_connections" {
  command = plan
  variables {
    size        = "large"
    connections = 100000
  }

  # 100,000 / (0.6 x 40,000) = 4.2
  assert {
    condition     = output.assumed.tasks == 5
    error_message = "There are ${output.assumed.tasks} tasks."
  }
  # 5 x 730 h x (4 x 0.04048 + 16 x 0.004445)
  assert {
    condition     = abs(output.parts.tasks - 850.60) <= 0.01
    error_message = "Tasks are ${output.parts.tasks}."
  }
  # 100,000 x (10 + 0.1 x 300) bytes x 2,628,000 s, and 100,000 x (10 + 0.01 x 300)
  assert {
    condition     = abs(output.assumed.gb.out - 10512) < 0.001 && abs(output.assumed.gb.in - 3416.4) < 0.001
    error_message = "Clients receive ${output.assumed.gb.out} GB and send ${output.assumed.gb.in} GB."
  }
  # 10,140 GB x 0.09, 272 GB x 0.085
  assert {
    condition     = abs(output.parts.data_out - 935.72) <= 0.01
    error_message = "Traffic to the internet is ${output.parts.data_out}."
  }
  # 100,000 / 3,000 is more than 55.6 / 50 a second and 19 GB an hour: 730 h x (0.0225 + 33.33 x 0.006)
  assert {
    condition     = abs(output.parts.load_balancer - 162.43) <= 0.01
    error_message = "The load balancer is ${output.parts.load_balancer}."
  }
  # 13,928.4 GB x 1/2 x 0.02
  assert {
    condition     = abs(output.parts.between_zones - 139.28) <= 0.01
    error_message = "Traffic between zones is ${output.parts.between_zones}."
  }
  assert {
    condition     = abs(output.total - sum(values(output.parts))) < 0.1
    error_message = "The total is not the sum of its parts."
  }
}

run "many_messages_are_more_capacity_units_than_connections" {
  command = plan
  variables {
    size        = "medium"
    connections = 30000
    traffic     = { received_per_second = 1, message_bytes = 500, idle_bytes_per_second = 0, sent_per_second = 0 }
  }
  # 30,000 x 500 bytes x 3,600 s
  assert {
    condition     = abs(output.assumed.nlcu - 54) < 0.001
    error_message = "The load balancer has ${output.assumed.nlcu} capacity units."
  }
}

run "scaling_has_an_end" {
  command = plan
  variables {
    connections = 20000
  }
  assert {
    condition     = output.assumed.tasks == 4
    error_message = "There are more tasks than the size has."
  }
}

run "more_connections_than_the_size_accepts_are_refused" {
  command = plan
  variables {
    connections = 20001
  }
  expect_failures = [var.connections]
}

run "an_accelerator" {
  command = plan
  variables {
    connections = 10000
    accelerator = true
  }
  # 730 h x (0.025 + 2 x 0.005), 1,051.2 GB x 0.015
  assert {
    condition     = abs(output.parts.accelerator - 41.32) <= 0.01
    error_message = "The accelerator is ${output.parts.accelerator}."
  }
}

run "other_prices" {
  command = plan
  variables {
    prices = { date = "2027-01-01", region = "eu-central-1", vcpu_hour = 0.0466, memory_gb_hour = 0.00511 }
  }
  # 2 tasks x 730 h x (0.5 x 0.0466 + 2 x 0.00511)
  assert {
    condition     = abs(output.parts.tasks - 48.94) <= 0.01 && output.assumed.date == "2027-01-01"
    error_message = "Tasks are ${output.parts.tasks}, at the prices of ${output.assumed.date}."
  }
}

run "another_size_is_refused" {
  command = plan
  variables {
    size = "huge"
  }
  expect_failures = [var.size]
}

run "a_node_without_a_price_is_refused" {
  command = plan
  variables {
    resources = {
      task      = { cpu = 512, memory = 1024, max_connections = 1000, count = { min = 2, max = 2 } }
      database  = { min = 0.5, max = 1 }
      node_type = "cache.r7g.large"
    }
  }
  expect_failures = [var.resources]
}

run "prices_without_a_day_are_refused" {
  command = plan
  variables {
    prices = { date = "today" }
  }
  expect_failures = [var.prices]
}

run "a_month_without_sessions_is_refused" {
  command = plan
  variables {
    traffic = { session_minutes = 0 }
  }
  expect_failures = [var.traffic]
}

run "fewer_than_no_connections_are_refused" {
  command = plan
  variables {
    connections = -1
  }
  expect_failures = [var.connections]
}

run "prices_of_traffic_without_a_beginning_are_refused" {
  command = plan
  variables {
    prices = { data_out = [{ from_gb = 100, gb = 0.09 }] }
  }
  expect_failures = [var.prices]
}

run "prices_of_traffic_that_overlap_are_refused" {
  command = plan
  variables {
    prices = { data_out = [{ from_gb = 0, gb = 0 }, { from_gb = 100, gb = 0.09 }, { from_gb = 100, gb = 0.08 }] }
  }
  expect_failures = [var.prices]
}

run "no_prices_of_traffic_are_refused" {
  command = plan
  variables {
    prices = { data_out = [] }
  }
  expect_failures = [var.prices]
}
