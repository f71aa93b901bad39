//! Faults of the store, each with the real program and a real store: what was answered with 2xx stays, the server goes on
//! serving the tenants that it knows, and manages them again without a restart when the fault is over.

mod backup;
mod connections;
mod credentials;
mod disk_full;
mod failover;
mod node;
mod outages;
mod permissions;
mod tls;
mod writers;
