{{- /*
Written from the structs in server/settings/src by `UPDATE=1 cargo test -p settings generated`; do not edit.
*/ -}}
{{- define "realtime.settings.restart" -}}
[
  "bus.keep_alive",
  "bus.lease",
  "bus.linger",
  "bus.max_bytes",
  "bus.max_frames",
  "bus.max_presence_bytes_per_tenant",
  "bus.prefix",
  "bus.redis_url",
  "bus.subscribe_timeout",
  "bus.timeout",
  "bus.tls_ca_file",
  "regions.cluster",
  "regions.name",
  "seed.db_host",
  "seed.db_name",
  "seed.db_password",
  "seed.db_port",
  "seed.db_user",
  "seed.jwt_jwks",
  "seed.jwt_secret",
  "seed.tenant",
  "server.data_dir",
  "server.default_tenant",
  "server.host",
  "server.max_header_size",
  "server.open_files",
  "server.port",
  "server.proxy_protocol_from",
  "server.receive_buffer_size",
  "server.send_buffer_size",
  "server.tls.cert_file",
  "server.tls.key_file",
  "server.worker_threads",
  "store.acquire_timeout",
  "store.after_connect_query",
  "store.database",
  "store.encrypt_with",
  "store.encryption_key",
  "store.host",
  "store.legacy_encryption_key",
  "store.max_connections",
  "store.migrate",
  "store.password",
  "store.port",
  "store.previous_encryption_key",
  "store.refresh",
  "store.timeout",
  "store.tls_ca_file",
  "store.tls_mode",
  "store.url",
  "store.user",
  "telemetry.log_format",
  "telemetry.log_queue_bytes",
  "telemetry.log_queue_lines"
]
{{- end -}}
{{- define "realtime.settings.defaults" -}}
{
  "server.drain_delay": "10s",
  "server.drain_timeout": "10s",
  "server.port": 8080,
  "server.shutdown_timeout": "5s"
}
{{- end -}}
