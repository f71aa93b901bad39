//! How large documents, updates and states of clients may be: what the node accepts of anyone, or less if the tenant may have less.

use settings::ByteSize;

use crate::node::Node;
use crate::tenants::Tenant;

/// The limits of a tenant's documents, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Of one document, as it is stored.
    pub document: usize,
    /// Of one update.
    pub update: usize,
    /// Of the state of one client.
    pub awareness: usize,
}

impl DocumentLimits {
    /// The limits that apply to `tenant` now.
    pub fn of(node: &Node, tenant: &Tenant) -> Self {
        let settings = &node.settings().documents;
        let allowance = &tenant.allowance;
        let bytes = |size: ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        Self {
            document: allowance.max_document_bytes().min(bytes(settings.max_bytes)),
            update: allowance.max_document_update_bytes().min(bytes(settings.max_update_bytes)),
            awareness: allowance.max_awareness_bytes().min(bytes(settings.awareness_bytes)),
        }
    }
}
