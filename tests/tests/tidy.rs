//! What holds for the sources, and what neither the compiler nor clippy can keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use earlykmsg_tests::binary::workspace;
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A file of the repository, by its path from the root.
fn files() -> Vec<(String, Vec<u8>)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(workspace())
        .output()
        .expect("start git");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("paths are text");
    let names = names.split_terminator('\0').filter(|name| workspace().join(name).is_file());
    names.map(|name| (name.to_owned(), fs::read(workspace().join(name)).expect("read a file"))).collect()
}

/// A Rust file.
struct Source {
    name: String,
    syntax: syn::File,
}

/// The Rust files whose names begin with this, without what is compiled for unit tests alone.
fn sources(folder: &str) -> Vec<Source> {
    let rust = |name: &str| Path::new(name).extension().is_some_and(|extension| extension == "rs");
    let chosen = files().into_iter().filter(|(name, _)| name.starts_with(folder) && rust(name));
    let parsed = chosen.map(|(name, bytes)| {
        let text = String::from_utf8(bytes).expect("sources are UTF-8");
        let mut syntax = syn::parse_file(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        syntax.items.retain(|item| !matches!(item, syn::Item::Mod(module) if is_test(&module.attrs)));
        Source { name, syntax }
    });
    parsed.collect()
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

/// All tokens of a macro's call, whatever brackets they stand in.
fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Group(group) => flat(group.stream()),
            other => vec![other],
        })
        .collect()
}

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;

/// What is longer all the same, and why that reads better than two halves.
const LONG: [(&str, &str); 1] =
    [("src/names/lookup.rs", "one state machine: its states and all that moves it from one to the next")];

/// The functions of a file, with their lines.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line - signature.span().start().line + 1;
        self.0.push((signature.ident.to_string(), lines));
    }
}

impl Visit<'_> for Functions {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

/// Unit tests stand at the end of a file and do not count.
#[test]
fn files_and_functions_are_short() {
    let (mut told, mut allowed) = (Vec::new(), BTreeMap::from(LONG));
    let mut most = (0, 0);
    let mut check = |what: String, lines: usize, max: usize| {
        if lines > max && allowed.remove(&*what).is_none() {
            told.push(format!("{what}: {lines} lines, more than {max}"));
        }
    };
    for source in sources("src/") {
        let lines = source.syntax.items.last().map_or(0, |item| item.span().end().line);
        most.0 = most.0.max(lines);
        check(source.name.clone(), lines, FILE_LINES_MAX);
        let mut functions = Functions::default();
        functions.visit_file(&source.syntax);
        for (name, lines) in functions.0 {
            most.1 = most.1.max(lines);
            check(format!("{} {name}", source.name), lines, FUNCTION_LINES_MAX);
        }
    }
    println!("longest file: {} lines, longest function: {}", most.0, most.1);
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(allowed.is_empty(), "no longer long: {allowed:?}");
}

/// What a file of `src/` names of others: whole paths, first segment first.
#[derive(Default)]
struct Paths(BTreeSet<Vec<String>>);

impl Paths {
    fn of_use(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.of_use(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => _ = self.0.insert(with(&name.ident)),
            syn::UseTree::Rename(name) => _ = self.0.insert(with(&name.ident)),
            syn::UseTree::Glob(_) => _ = self.0.insert(before.to_vec()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.of_use(before, tree)),
        }
    }
}

impl Visit<'_> for Paths {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.of_use(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        self.0.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.visit_path(&call.path);
        // What looks like a path in it: words with `::` between them.
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in flat(call.tokens.clone()) {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.0.insert(std::mem::take(&mut path));
                    }
                    path.push(word.to_string());
                    colons = 0;
                }
                _ => {
                    self.0.insert(std::mem::take(&mut path));
                    colons = 0;
                }
            }
        }
        self.0.insert(path);
    }
}

/// A module of the library or of the program, by its path from `crate` on (which is not in it).
type Module = Vec<String>;

/// The root files of the core, of what the programs share, and of each program.
const ROOTS: [&str; 5] =
    ["src/lib.rs", "src/system.rs", "src/main.rs", "src/bringup/main.rs", "src/pstore_reader/main.rs"];

/// The modules that a root file declares, at any depth, each with its file.
fn modules(root: &str, sources: &[Source]) -> BTreeMap<Module, usize> {
    let find = |name: &str| sources.iter().position(|source| source.name == name);
    let (folder, _) = root.rsplit_once('/').expect("it is in a folder");
    let mut found = BTreeMap::new();
    let mut next = vec![(Module::new(), find(root).expect("the root file"))];
    while let Some((module, file)) = next.pop() {
        for item in &sources[file].syntax.items {
            let syn::Item::Mod(syn::ItemMod { ident, content: None, .. }) = item else { continue };
            let inner = [&module[..], &[ident.to_string()]].concat();
            let path = inner.join("/");
            let file =
                find(&format!("{folder}/{path}.rs")).or_else(|| find(&format!("{folder}/{path}/mod.rs")));
            next.push((inner, file.unwrap_or_else(|| panic!("no file for {path}"))));
        }
        found.insert(module, file);
    }
    found
}

/// The module that a path leads to, as seen from `from`; none when it leads to another crate or into `from` itself.
fn target(path: &[String], from: &Module, modules: &BTreeMap<Module, usize>) -> Option<Module> {
    let above = &from[..from.len().saturating_sub(1)];
    let mut whole = match path.first()?.as_str() {
        "crate" => path[1..].to_vec(),
        "super" => [above, &path[1..]].concat(),
        "self" => [&from[..], &path[1..]].concat(),
        _ => [&from[..], path].concat(),
    };
    while !modules.contains_key(&whole) {
        whole.pop()?;
    }
    (whole != *from).then_some(whole)
}

/// A module and what stands below it may know each other; of modules side by side, one is the other's foundation.
#[test]
fn no_modules_go_in_a_circle() {
    let sources = sources("src/");
    let mut edges_seen = 0;
    for root in ROOTS {
        let modules = modules(root, &sources);
        let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, &file) in &modules {
            let mut paths = Paths::default();
            paths.visit_file(&sources[file].syntax);
            for other in paths.0.iter().filter_map(|path| target(path, module, &modules)) {
                let common = module.iter().zip(&other).take_while(|(one, two)| one == two).count();
                if common < module.len() && common < other.len() {
                    let (one, two) = (module[..=common].to_vec(), other[..=common].to_vec());
                    edges.entry(one).or_default().insert(two);
                }
            }
        }
        edges_seen += edges.len();
        // Modules that know none of the rest go first, until none is left.
        let known = |edges: &BTreeMap<Module, BTreeSet<Module>>, module: &Module| edges.contains_key(module);
        loop {
            let before = edges.len();
            let rest = edges.clone();
            edges.retain(|_, others| others.iter().any(|other| known(&rest, other)));
            if edges.len() == before {
                break;
            }
        }
        let told: Vec<String> = edges
            .iter()
            .map(|(module, others)| {
                let others: Vec<String> =
                    others.iter().filter(|o| known(&edges, o)).map(|o| o.join("::")).collect();
                format!("{} knows {}", module.join("::"), others.join(", "))
            })
            .collect();
        assert!(told.is_empty(), "{root}: in circles, or knowing those that are:\n{}", told.join("\n"));
    }
    assert!(edges_seen > 20, "{edges_seen}");
}

/// The library calls no system; rustix's calls are safe ones, so that `forbid(unsafe_code)` does not keep it from them.
#[test]
fn who_calls_the_system() {
    let sources = sources("src/");
    let all = ROOTS.map(|root| modules(root, &sources));
    let library = &all[0];
    let mut told = Vec::new();
    // Shared by unit tests.
    let shipped = sources.iter().enumerate().filter(|(_, source)| source.name != "src/testing.rs");
    for (at, Source { name, syntax }) in shipped {
        let owners = all.iter().filter(|modules| modules.values().any(|&file| file == at)).count();
        if owners != 1 {
            told.push(format!("{name} belongs to {owners} of {ROOTS:?}"));
        }
        let mut paths = Paths::default();
        paths.visit_file(syntax);
        let in_library = library.values().any(|&file| file == at);
        if in_library && paths.0.iter().any(|path| path.first().is_some_and(|first| first == "rustix")) {
            told.push(format!("{name} is of the library and names rustix"));
        }
    }
    // One folder belongs to one of them.
    let mut folders = BTreeMap::new();
    for (root, modules) in ROOTS.iter().zip(&all) {
        for &file in modules.values() {
            let name = &sources[file].name;
            let Some((folder, _)) = name["src/".len()..].split_once('/') else { continue };
            if *folders.entry(folder.to_owned()).or_insert(root) != root {
                told.push(format!("{name} of {root} is in a folder of another one"));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Attributes that switch a lint off.
#[derive(Default)]
struct Allowed(Vec<String>);

impl Visit<'_> for Allowed {
    fn visit_meta_list(&mut self, list: &syn::MetaList) {
        if list.path.is_ident("allow") || list.path.is_ident("expect") {
            self.0.push(list.tokens.to_string());
        }
    }
}

/// The compiler forbids it in the library and denies it elsewhere; a file could still allow it for itself.
#[test]
fn unsafe_stands_in_sys() {
    for Source { name, syntax } in sources("").iter().filter(|source| !source.name.starts_with("src/sys/")) {
        let mut allowed = Allowed::default();
        allowed.visit_file(syntax);
        assert!(
            allowed.0.iter().all(|lint| !lint.contains("unsafe_code")),
            "{name} allows itself unsafe code"
        );
    }
}

/// Nothing tells of the machine that it was made on.
#[test]
fn no_file_names_a_machine() {
    let words = [concat!("/wo", "rk/"), concat!("/tmp/", "helper"), concat!("shar", "ed/")];
    let mut told = Vec::new();
    for (name, bytes) in files() {
        for word in words {
            if bytes.windows(word.len()).any(|window| window == word.as_bytes()) {
                told.push(format!("{name} holds {word}"));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn every_file_begins_with_its_purpose() {
    let silent = sources("").into_iter().filter(|source| {
        !source.syntax.attrs.first().is_some_and(|attribute| attribute.path().is_ident("doc"))
    });
    let silent: Vec<String> = silent.map(|source| source.name).collect();
    assert!(silent.is_empty(), "no //! line on top: {silent:?}");
}

/// The texts of a file that someone may read while it runs.
#[derive(Default)]
struct Texts(Vec<String>);

impl Visit<'_> for Texts {
    fn visit_attribute(&mut self, _: &syn::Attribute) {}

    /// What `--help` prints is a page of its own.
    fn visit_item_const(&mut self, item: &syn::ItemConst) {
        if item.ident != "HELP" {
            visit::visit_item_const(self, item);
        }
    }

    /// Why there is no panic.
    fn visit_expr_method_call(&mut self, call: &syn::ExprMethodCall) {
        if call.method != "expect" {
            visit::visit_expr_method_call(self, call);
        }
    }

    fn visit_lit_str(&mut self, text: &syn::LitStr) {
        self.0.push(text.value());
    }

    /// What a check at compile time says is for who builds it.
    fn visit_macro(&mut self, call: &syn::Macro) {
        if call.path.is_ident("assert") {
            return;
        }
        for token in flat(call.tokens.clone()) {
            if let TokenTree::Literal(literal) = token
                && let syn::Lit::Str(text) = syn::Lit::new(literal)
            {
                self.0.push(text.value());
            }
        }
    }
}

/// Shorter texts are parts that say nothing alone.
const MESSAGE_BYTES_MIN: usize = 8;

/// Whoever reads a message finds it in docs/troubleshooting.md: every text of the program that is words.
#[test]
fn every_message_is_explained() {
    let doc = fs::read_to_string(workspace().join("docs/troubleshooting.md")).expect("read the page");
    let (mut told, mut count) = (Vec::new(), 0);
    // The reasons beside allowed calls are for who reads the source.
    for source in sources("src/").iter().filter(|source| !source.name.starts_with("src/policy/")) {
        let mut texts = Texts::default();
        texts.visit_file(&source.syntax);
        for text in texts.0 {
            // Between the values of a format.
            for part in text.split(['\n', ';', '{', '}']) {
                let part = part.trim_start_matches("<11>earlykmsg: ").trim_matches([' ', ',', ':', '\0']);
                let is_list = part.split(", ").all(|word| !word.contains(' '));
                if part.len() >= MESSAGE_BYTES_MIN && !is_list {
                    count += 1;
                    if !doc.contains(part) {
                        told.push(format!("{}: {part:?}", source.name));
                    }
                }
            }
        }
    }
    println!("{count} texts are explained");
    assert!(count > 100, "only {count} texts were found");
    assert!(told.is_empty(), "docs/troubleshooting.md does not explain:\n{}", told.join("\n"));
}
