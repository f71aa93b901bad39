//! The one place that merges what several sources specify.
//!
//! Pure bookkeeping: it knows which specification applies to a tenant, and reports the tenants that a change may
//! concern. Creating and reconfiguring them is the registry's work.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use settings::Settings;

use super::TenantSpec;
use super::source::SourceId;
use super::spec::{EffectiveSpec, NodeDefaults};

/// The id of a tenant in lower case, because host names have no case. Shared, so that a copy of the table of tenants
/// allocates nothing per tenant.
pub(super) type Key = Arc<str>;

/// All specifications, by tenant and source.
pub(super) struct SpecTable {
    /// In order of precedence; never empty.
    specs: HashMap<Key, Vec<(SourceId, Arc<TenantSpec>)>>,
    defaults: NodeDefaults,
    /// Removals that sources other than the configuration have asked for.
    removals: u64,
}

impl SpecTable {
    /// The tenants of the configuration.
    pub(super) fn new(settings: &Settings) -> Self {
        let mut table = Self { specs: HashMap::new(), defaults: NodeDefaults::of(settings), removals: 0 };
        table.configure(settings);
        table
    }

    /// The specification that applies to a tenant, if a source has one.
    pub(super) fn effective(&self, key: &str) -> Option<EffectiveSpec> {
        let (source, spec) = self.specs.get(key)?.first()?;
        Some(EffectiveSpec::new(spec, source.origin(), &self.defaults))
    }

    /// All tenants.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.specs.keys()
    }

    /// How often sources other than the configuration have removed something: a specification that was resolved while
    /// this number rose may be one of those removed.
    pub(super) fn removals(&self) -> u64 {
        self.removals
    }

    /// Whether the configuration specifies a tenant.
    pub(super) fn is_configured(&self, key: &str) -> bool {
        self.specs.get(key).is_some_and(|specs| specs[0].0 == SourceId::CONFIGURATION)
    }

    /// Specifies a tenant, or specifies it anew. Returns its key if that changes anything for this source.
    pub(super) fn put(&mut self, source: SourceId, spec: TenantSpec) -> Option<Key> {
        let key = key(&spec.id);
        let specs = self.specs.entry(key.clone()).or_default();
        match specs.binary_search_by_key(&source, |(of, _)| *of) {
            Ok(at) if *specs[at].1 == spec => return None,
            Ok(at) => specs[at].1 = Arc::new(spec),
            Err(at) => specs.insert(at, (source, Arc::new(spec))),
        }
        Some(key)
    }

    /// As [`put`](Self::put), unless the source has specified the tenant meanwhile, which is newer.
    pub(super) fn put_resolved(&mut self, source: SourceId, spec: TenantSpec) -> Option<Key> {
        let specs = self.specs.get(&key(&spec.id));
        let is_specified = specs.is_some_and(|specs| specs.iter().any(|(of, _)| *of == source));
        if is_specified { None } else { self.put(source, spec) }
    }

    /// Withdraws what a source has specified. Returns the tenant's key if there was something.
    pub(super) fn remove(&mut self, source: SourceId, id: &str) -> Option<Key> {
        let key = key(id);
        // Also when there is nothing here: it may just be resolved.
        self.removals += u64::from(source != SourceId::CONFIGURATION);
        let specs = self.specs.get_mut(&key)?;
        let before = specs.len();
        specs.retain(|(of, _)| *of != source);
        let removed = specs.len() < before;
        if specs.is_empty() {
            self.specs.remove(&key);
        }
        removed.then_some(key)
    }

    /// The configuration as a source: specifies its tenants, and withdraws those that it no longer has. Returns the
    /// tenants that this may concern; all of them if a default of the node has changed.
    pub(super) fn configure(&mut self, settings: &Settings) -> BTreeSet<Key> {
        let tenants = settings.every_tenant();
        let configured: BTreeSet<Key> = tenants.keys().map(|id| key(id)).collect();
        let is_configured = |specs: &[(SourceId, _)]| specs[0].0 == SourceId::CONFIGURATION;
        let withdrawn =
            self.specs.iter().filter(|(key, specs)| is_configured(specs) && !configured.contains(*key));
        let withdrawn: Vec<Key> = withdrawn.map(|(key, _)| key.clone()).collect();
        let mut concerned = BTreeSet::new();
        for id in withdrawn {
            concerned.extend(self.remove(SourceId::CONFIGURATION, &id));
        }
        for (id, settings) in tenants {
            concerned.extend(self.put(SourceId::CONFIGURATION, TenantSpec { id, settings }));
        }
        let defaults = NodeDefaults::of(settings);
        if self.defaults != defaults {
            self.defaults = defaults;
            concerned.extend(self.specs.keys().cloned());
        }
        concerned
    }
}

/// The key of a tenant.
pub(super) fn key(id: &str) -> Key {
    id.to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: fn() -> SourceId = || SourceId::after(0);

    fn spec(id: &str, region: &str) -> TenantSpec {
        TenantSpec {
            id: id.into(),
            settings: settings::Tenant { region: Some(region.into()), ..Default::default() },
        }
    }

    fn region(table: &SpecTable, key: &str) -> Option<String> {
        table.effective(key).and_then(|effective| effective.spec.settings.region.clone())
    }

    #[test]
    fn the_first_source_that_specifies_a_tenant_applies() {
        let mut table = SpecTable::new(&Settings::default());
        let (second, third) = (SourceId::after(0), SourceId::after(1));
        table.put(third, spec("acme", "third"));
        assert_eq!(region(&table, "acme").as_deref(), Some("third"));
        table.put(SourceId::CONFIGURATION, spec("ACME", "configuration"));
        table.put(second, spec("Acme", "second"));
        assert_eq!(region(&table, "acme").as_deref(), Some("configuration"));
        table.remove(SourceId::CONFIGURATION, "acme");
        assert_eq!(region(&table, "acme").as_deref(), Some("second"));
        table.remove(third, "acme");
        table.remove(second, "acme");
        assert_eq!(region(&table, "acme"), None);
    }

    #[test]
    fn a_specification_that_is_put_again_changes_nothing() {
        let mut table = SpecTable::new(&Settings::default());
        assert_eq!(table.put(STORE(), spec("Acme", "eu")).as_deref(), Some("acme"));
        assert_eq!(table.put(STORE(), spec("Acme", "eu")), None);
        assert_eq!(table.put(STORE(), spec("Acme", "us")).as_deref(), Some("acme"));
        assert_eq!(table.remove(STORE(), "another"), None);
    }

    #[test]
    fn what_the_node_requires_of_tokens_is_required_of_those_of_stored_tenants() {
        let mut settings = Settings::default();
        settings.tenants.insert("acme".into(), settings::Tenant::default());
        let mut table = SpecTable::new(&settings);
        table.put(STORE(), spec("globex", "store"));
        settings.auth.claim_validators.insert("iss".into(), "us".into());
        settings.auth.require_permissions = true;
        table.configure(&settings);
        let required = |id| {
            let auth = table.effective(id)?.spec.settings.auth.clone();
            Some((auth.claim_validators, auth.require_permissions))
        };
        assert_eq!(required("globex"), Some((settings.auth.claim_validators.clone(), true)));
        assert_eq!(required("acme"), Some(Default::default()), "it says its own");
    }

    #[test]
    fn the_configuration_withdraws_its_own_tenants_and_no_others() {
        let mut settings = Settings::default();
        settings.tenants.insert("acme".into(), settings::Tenant::default());
        let mut table = SpecTable::new(&settings);
        table.put(STORE(), spec("acme", "store"));
        table.put(STORE(), spec("globex", "store"));
        settings.tenants.remove("acme");
        let concerned: Vec<_> = table.configure(&settings).into_iter().collect();
        assert_eq!(concerned, [Key::from("acme")]);
        assert_eq!(region(&table, "acme").as_deref(), Some("store"));
        assert!(table.configure(&settings).is_empty());
    }
}
