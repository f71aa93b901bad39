//! The state that sessions and routes use: built once by `app`, handed on by the edge.
//!
//! A slice with state of its own has a field here, so that `Node`, which is below the slices, need not know it.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::auth::Authorizer;
use crate::node::Node;

/// The parts of the server that sessions and routes use.
pub struct Services {
    /// Identity, settings, rooms, tenants and lifecycle of this process.
    pub node: Arc<Node>,
    /// Decides who may join which room.
    pub authorizer: Arc<dyn Authorizer>,
    /// Counts the tasks that a stop waits for.
    pub tasks: TaskTracker,
}
