//! The modules of one folder import each other in one direction only: no cycles, however long.
//!
//! A module stands for everything below it, so that each folder is a graph of its own. Imports between a
//! module and its own submodules are not considered. A name re-exported by a module counts as an import of
//! the submodule that defines it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::code;
use crate::repository::rust_sources;

/// The source folders of the crates that are checked.
const CRATES: [&str; 6] = [
    "server/hub/src",
    "server/settings/src",
    "server/src",
    "server/wire/src",
    "tests/harness/src",
    "tests/load/src",
];

/// A module's path below its crate.
type Module = Vec<String>;

/// A crate's modules, and the submodule's path behind each name that a module re-exports.
struct Tree {
    modules: BTreeMap<Module, String>,
    reexports: HashMap<(Module, String), Module>,
}

/// The paths of a `use` declaration after `use`: `a::{b, c::d}` has `a::b` and `a::c::d`.
fn expand(tree: &str, prefix: &[String], paths: &mut Vec<Module>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let segments = tree.split(" as ").next().unwrap_or_default().split("::");
        let segments =
            segments.map(|segment| segment.trim().to_owned()).filter(|segment| !segment.is_empty());
        paths.push(prefix.iter().cloned().chain(segments).collect());
        return;
    };
    let before = tree[..open].split("::").map(str::trim).filter(|segment| !segment.is_empty());
    let prefix: Module = prefix.iter().cloned().chain(before.map(ToOwned::to_owned)).collect();
    let (mut depth, mut start) = (0, open + 1);
    for (at, character) in tree.char_indices().skip_while(|(at, _)| *at <= open) {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                expand(&tree[start..at], &prefix, paths);
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The paths in a file's code: those of its `use` declarations, and those that begin with a keyword.
fn paths(text: &str) -> Vec<Module> {
    let code = code(text).collect::<Vec<_>>().join("\n");
    let mut paths = Vec::new();
    for statement in code.split(';') {
        let begins = |line: &str| {
            let line = line.split_once("use ").map(|(before, _)| before.trim());
            line.is_some_and(|before| before.is_empty() || before.starts_with("pub"))
        };
        let lines: Vec<&str> = statement.lines().collect();
        if let Some(first) = lines.iter().position(|line| begins(line)) {
            let declaration = lines[first..].join(" ");
            let (_, tree) = declaration.split_once("use ").expect("it begins with `use`");
            expand(tree, &[], &mut paths);
            continue;
        }
        for keyword in ["crate::", "super::", "self::"] {
            for (at, _) in statement.match_indices(keyword) {
                let in_word = statement[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c));
                let end = statement[at..].find(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
                let path = &statement[at..end.map_or(statement.len(), |end| at + end)];
                if !in_word {
                    expand(path, &[], &mut paths);
                }
            }
        }
    }
    paths
}

impl Tree {
    fn read(folder: &str) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in rust_sources(folder) {
            let inside = file.strip_prefix(&format!("{folder}/")).expect("below the folder");
            let path = inside.trim_end_matches(".rs");
            let mut module: Module = path.split('/').map(ToOwned::to_owned).collect();
            module.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
            if module.last().is_none_or(|last| last != "tests") {
                modules.insert(module, text);
            }
        }
        let mut tree = Self { modules, reexports: HashMap::new() };
        for (module, text) in &tree.modules {
            for path in paths(text) {
                let Some((name, parent)) = path.split_last() else { continue };
                if let Some(target) = tree.resolve(module, parent).filter(|target| target.starts_with(module))
                    && target.len() > module.len()
                {
                    tree.reexports.insert((module.clone(), name.clone()), target);
                }
            }
        }
        tree
    }

    /// The module that `path` leads to from within `module`; `None` for another crate's.
    fn resolve(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut at = module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (at, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            child => {
                at.push(child.to_owned());
                if !self.modules.contains_key(&at) {
                    return None;
                }
                rest = &path[1..];
            }
        }
        for segment in rest {
            if segment == "super" {
                at.pop();
                continue;
            }
            let below: Module = at.iter().chain([segment]).cloned().collect();
            if self.modules.contains_key(&below) {
                at = below;
            } else if let Some(target) = self.reexports.get(&(at.clone(), segment.clone())) {
                at = target.clone();
            } else {
                break;
            }
        }
        Some(at)
    }

    /// For each folder, the imports between its modules: from one to another.
    fn folders(&self) -> BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> {
        let mut folders: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for (module, text) in &self.modules {
            for target in paths(text).iter().filter_map(|path| self.resolve(module, path)) {
                let common = module.iter().zip(&target).take_while(|(one, other)| one == other).count();
                if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                    let folder = folders.entry(module[..common].to_vec()).or_default();
                    folder.entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        folders
    }
}

/// A cycle among the imports of one folder, if there is one: modules that each import the next, the last the
/// first.
fn cycle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<&str>> {
    let mut remaining: BTreeMap<&str, &BTreeSet<String>> =
        imports.iter().map(|(from, to)| (from.as_str(), to)).collect();
    // A module that imports none of the remaining ones is in no cycle.
    while let Some(end) = remaining
        .iter()
        .find_map(|(from, to)| to.iter().all(|to| !remaining.contains_key(to.as_str())).then_some(*from))
    {
        remaining.remove(end);
    }
    let mut path = vec![*remaining.keys().next()?];
    loop {
        let next = remaining[path[path.len() - 1]].iter().find(|to| remaining.contains_key(to.as_str()))?;
        if let Some(start) = path.iter().position(|module| module == next) {
            return Some(path.split_off(start));
        }
        path.push(next);
    }
}

#[test]
fn no_modules_import_each_other() {
    let mut cycles = Vec::new();
    for krate in CRATES {
        for (folder, imports) in Tree::read(krate).folders() {
            let folder = [&[krate.to_owned()], &folder[..]].concat().join("/");
            if let Some(cycle) = cycle(&imports) {
                cycles.push(format!("{folder}: {} → {}", cycle.join(" → "), cycle[0]));
            }
        }
    }
    assert!(cycles.is_empty(), "modules import each other in a cycle:\n{}", cycles.join("\n"));
}

#[test]
fn the_paths_of_a_file_are_found() {
    let text = "//! Text about crate::nothing.\nuse crate::{a::{B, c::D}, e};\npub(super) use super::f::G as H;\n\
                fn main() {\n    let x = crate::i::j(&super::k);\n    // crate::l\n}\nmod tests {\n use crate::m;\n}";
    let found: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        ["crate::a::B", "crate::a::c::D", "crate::e", "super::f::G", "crate::i::j", "super::k"]
    );
}

#[test]
fn a_cycle_is_found_and_a_chain_is_none() {
    let imports = |edges: &[(&str, &str)]| {
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            imports.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        imports
    };
    assert_eq!(cycle(&imports(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = imports(&[("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]);
    assert_eq!(cycle(&found), Some(vec!["a", "b", "c"]));
}
