//! The state that sessions and routes use: built once by `app`, handed on by the edge.
//!
//! A slice with state of its own has a field here, so that `Node`, which is below the slices, need not know it.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::auth::Authorizer;
use crate::changes::PostgresChanges;
use crate::documents::Documents;
use crate::node::Node;
use crate::tenants::Databases;

/// The parts of the server that sessions and routes use.
pub struct Services {
    /// Identity, settings, rooms, tenants and lifecycle of this process.
    pub node: Arc<Node>,
    /// Decides who may do what in which room.
    pub authorizer: Arc<dyn Authorizer>,
    /// The databases of tenants.
    pub databases: Arc<Databases>,
    /// Changes of their tables.
    pub changes: Arc<PostgresChanges>,
    /// Shared documents.
    pub documents: Arc<Documents>,
    /// Counts the tasks that a stop waits for.
    pub tasks: TaskTracker,
}
