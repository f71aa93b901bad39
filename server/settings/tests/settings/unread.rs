//! Files that look like settings and are not read, and environments without a file.

use crate::Folder;

/// The notes of a server that looks for `config.toml` in this folder and in its `etc/realtime`; warnings first have `!`.
fn notes(folder: &Folder) -> Vec<String> {
    let usual = ["config.toml", "etc/realtime/config.toml"].map(|name| folder.path(name));
    let loaded = settings::Sources::new(None, []).usually_in(usual).load();
    let notes = loaded.unwrap_or_else(|error| panic!("should load: {error}")).notes.into_iter();
    let shown = notes.map(|note| format!("{}{}", if note.warning { "! " } else { "" }, note.text));
    shown.map(|text| folder.without_folder(&text)).collect()
}

#[test]
fn a_file_under_another_name_is_a_warning() {
    for name in [
        "realtime.toml",
        "realtime-server.toml",
        "settings.toml",
        "Config.toml",
        "conifg.toml",
        "conf.toml",
        "config.tml",
        "config.production.toml",
        "config/config.toml",
        "config/realtime.toml",
        "conf/config.toml",
    ] {
        let folder = Folder::with(&[(name, "server.port = 1")]);
        let expected = format!("! {name} is not read: call it config.toml, or name it with --config");
        assert_eq!(notes(&folder), [expected]);
        folder.write("config.toml", "");
        assert_eq!(notes(&folder), [""; 0], "{name} may belong to another program");
    }
    for name in ["production.toml", "realtime.toml", "tenants.toml"] {
        let name = format!("etc/realtime/{name}");
        let folder = Folder::with(&[(&name, "server.port = 1")]);
        assert_eq!(
            notes(&folder),
            [format!("! {name} is not read: call it etc/realtime/config.toml, or name it with --config")]
        );
    }
}

#[test]
fn a_file_in_another_format_is_a_warning() {
    for ending in ["yaml", "yml", "json"] {
        let folder = Folder::with(&[(&format!("config.{ending}"), "")]);
        let expected = format!("! config.{ending} is not read: write TOML, into config.toml");
        assert_eq!(notes(&folder), [expected.as_str()]);
        folder.write("config.toml", "");
        assert_eq!(notes(&folder), [expected]);
    }
}

#[test]
fn a_settings_file_beside_the_one_that_is_read_is_a_warning() {
    let folder = Folder::with(&[
        ("config.toml", ""),
        ("config.d/a.toml", ""),
        ("config.d/b.yaml", ""),
        ("config.d/c.TOML", ""),
        ("config.d/tenants/acme.toml", ""),
        ("config.d/d.toml.bak", ""),
        ("config.d/README.md", ""),
        ("config.d/..data/a.toml", ""),
    ]);
    let stray = |name: &str| format!("! config.d/{name} is not read: only *.toml in config.d is");
    assert_eq!(notes(&folder), ["b.yaml", "c.TOML", "tenants"].map(stray));
    let folder = Folder::with(&[
        ("etc/realtime/config.toml", ""),
        ("etc/realtime/config.staging.toml", ""),
        ("etc/realtime/schema.json", ""),
        ("etc/realtime/tenants.toml", ""),
        ("etc/realtime/..data/config.toml", ""),
    ]);
    assert_eq!(notes(&folder), ["! etc/realtime/tenants.toml is not read: move it to etc/realtime/config.d"]);
}

// As compose.yaml mounts the folder `config/` of a clone.
#[test]
fn the_starter_files_may_lie_beside_the_copy() {
    let folder = Folder::with(&[
        ("etc/realtime/production.toml", ""),
        ("etc/realtime/development.toml", ""),
        ("etc/realtime/schema.json", ""),
        ("etc/realtime/reference.md", ""),
    ]);
    let expected = "! etc/realtime/production.toml is not read: call it etc/realtime/config.toml, or name it with --config";
    assert_eq!(notes(&folder), [expected]);
    folder.write("etc/realtime/config.toml", "");
    assert_eq!(notes(&folder), [""; 0]);
}

#[test]
fn a_folder_of_files_without_the_file_it_adds_to_is_a_warning() {
    let folder = Folder::with(&[("config.d/a.toml", "server.port = 1"), ("config.d/b.toml", "")]);
    assert_eq!(notes(&folder), ["! config.d is not read, because there is no config.toml"]);
    folder.write("config.toml", "");
    assert_eq!(notes(&folder), [""; 0]);
    folder.write("etc/realtime/config.d/c.toml", "");
    let expected = "! etc/realtime/config.d is not read, because there is no etc/realtime/config.toml";
    assert_eq!(notes(&folder), [expected]);
    // The first one takes precedence, as documented.
    folder.write("etc/realtime/config.toml", "");
    assert_eq!(notes(&folder), ["etc/realtime/config.toml is not read, because config.toml is"]);
}

#[test]
fn the_files_of_other_programs_are_not_reported() {
    let names = "Cargo.toml Cargo.lock pyproject.toml rustfmt.toml clippy.toml deny.toml fly.toml netlify.toml \
        wrangler.toml cog.toml hugo.toml taplo.toml uv.toml package.json tsconfig.json compose.yaml README.md .env \
        config/production.toml config/development.toml config/schema.json config.ru config.log conf.d/a.conf";
    let files: Vec<_> = names.split_whitespace().map(|name| (name, "")).collect();
    assert_eq!(notes(&Folder::with(&files)), [""; 0]);
    // An explicitly named file suppresses these warnings.
    let folder = Folder::with(&[("config.toml", ""), ("realtime.toml", ""), ("other.toml", "")]);
    let loaded = settings::Sources::new(Some(&folder.path("other.toml")), []).load().expect("good");
    assert_eq!(loaded.notes, []);
}

#[test]
fn an_environment_without_a_file_of_its_own_is_an_error() {
    let folder = Folder::with(&[("config.toml", ""), ("config.production.toml", "")]);
    let chosen = |name: &str| folder.errors(&[("REALTIME_ENV", name)]);
    let errors = |name: &str, help: &str| {
        format!(
            "variable REALTIME_ENV: chooses config.{name}.toml, and there is no such file\n    help: {help}"
        )
    };
    let make = "create the file, even with only a comment in it, or unset REALTIME_ENV";
    assert_eq!(chosen("staging"), errors("staging", make));
    for near in ["prod", "Production", "porduction", "productoin"] {
        assert_eq!(chosen(near), errors(near, "did you mean REALTIME_ENV=production?"));
    }
    assert_eq!(
        chosen("../../etc"),
        "variable REALTIME_ENV: expected a word such as production: it chooses config.production.toml"
    );
    assert!(folder.sources(&[("REALTIME_ENV", "production")]).load().is_ok());
    assert!(folder.sources(&[("REALTIME_ENV", " ")]).load().is_ok(), "blank is unset");
}

#[test]
fn an_environment_without_any_file_is_an_error() {
    let folder = Folder::with(&[("config.production.toml", "")]);
    let variables = folder.variables(&[("REALTIME_ENV", "production")]);
    let sources = settings::Sources::new(None, variables).usually_in([folder.path("config.toml")]);
    let errors = sources.load().expect_err("its file is not read").to_string();
    assert_eq!(
        folder.without_folder(&errors),
        "variable REALTIME_ENV: chooses config.production.toml, which is read only beside config.toml, and that is \
         not there\n    help: create that file, name another with --config or REALTIME_CONFIG, or unset REALTIME_ENV"
    );
}
