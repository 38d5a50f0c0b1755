//! Where data lies: a path of this machine, or an address in an object store.
//!
//! Local files are read and written with plain system calls, because that is several times faster than going through
//! an object store's streams; everything else goes through `object_store`.

mod open_uploads;
mod relative;
mod store_options;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path as StorePath;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig};
use pelton_runtime_core::config::options::execution::WORKING_DIRECTORY;
use url::Url;

use self::open_uploads::S3OpenUploads;
pub use self::open_uploads::{ListUploadsError, OpenUpload, OpenUploads};
use crate::hdfs::{self, HdfsSettingsError, HdfsStore};

/// A file or directory, here or in an object store.
#[derive(Clone)]
pub struct Location {
    text: String,
    place: Place,
    abilities: Abilities,
}

/// What a store can do beyond what all of them can.
#[derive(Clone, Default)]
struct Abilities {
    /// For stores whose uploads can be completed by their ids.
    multipart: Option<Arc<dyn MultipartStore>>,
    /// For stores whose open uploads can be listed.
    open_uploads: Option<Arc<dyn OpenUploads>>,
    /// For stores with directories, which stay when they are empty.
    directories: Option<Arc<HdfsStore>>,
}

/// How a location is reached.
#[derive(Clone)]
pub enum Place {
    /// With system calls.
    Local(PathBuf),
    /// Through an object store.
    Remote {
        /// The bucket, container or server.
        store: Arc<dyn ObjectStore>,
        /// The place inside it.
        path: StorePath,
    },
}

/// Why a text is not a usable location.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// The text is empty.
    #[error("a path or URL is expected, found nothing")]
    Empty,
    /// A relative path, and nobody knows what it is relative to.
    #[error(
        "`{text}` is a relative path, and the folder in which the program was started is not known: give an absolute \
         path, or set `{}`", WORKING_DIRECTORY.key()
    )]
    Relative {
        /// What was given.
        text: String,
    },
    /// Not a URL, although it looks like one.
    #[error("`{text}` is not a valid URL")]
    InvalidUrl {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// A file URL that names another host.
    #[error("`{text}` names a host; a file URL has the form `file:///path`")]
    FileUrlWithHost {
        /// What was given.
        text: String,
    },
    /// A file system that Flink reaches and Pelton does not yet.
    #[error(
        "`{text}`: {scheme}:// is not built yet; supported are paths, file, hdfs, s3, s3a, gs, az, abfs, abfss, http and https"
    )]
    NotBuilt {
        /// What was given.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// A scheme nobody knows.
    #[error(
        "`{text}`: unknown scheme `{scheme}`; supported are paths, file, hdfs, s3, s3a, gs, az, abfs, abfss, http and https"
    )]
    UnknownScheme {
        /// What was given.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// A setting of the object store has a value it cannot have.
    #[error("`{key}`: `{value}` is neither true nor false")]
    InvalidSetting {
        /// The configuration key.
        key: String,
        /// Its value.
        value: String,
    },
    /// The object store cannot be set up.
    #[error("cannot set up access to `{text}`")]
    Store {
        /// What was given.
        text: String,
        /// What is missing or wrong.
        source: object_store::Error,
    },
    /// Hadoop's file system cannot be set up.
    #[error("cannot set up access to `{text}`")]
    Hdfs {
        /// What was given.
        text: String,
        /// What is missing or wrong.
        source: HdfsSettingsError,
    },
}

/// Schemes that Flink's file systems have and that are still to come.
const NOT_BUILT: [&str; 6] = ["webhdfs", "viewfs", "oss", "wasb", "wasbs", "maprfs"];

impl Location {
    /// The location that `text` names. A relative path is in the job's `pelton.working-directory`, wherever the process
    /// runs, and is shown with it. Credentials and endpoints come from the job's `configuration` (Flink's keys:
    /// `s3.access-key`, `s3.endpoint`, …) and otherwise from the environment (`AWS_*`, `AZURE_*`, `GOOGLE_*`,
    /// `HADOOP_*`).
    ///
    /// # Errors
    ///
    /// When the text is no path and no URL of a supported kind, or the object store cannot be set up.
    pub fn parse(text: &str, configuration: &BTreeMap<String, String>) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let (place, abilities) = match scheme_of(text) {
            None if Path::new(text).is_absolute() => (Place::Local(PathBuf::from(text)), Abilities::default()),
            None => {
                let path = relative::resolve(text, configuration)?;
                return Ok(Self { text: display(&path), place: Place::Local(path), abilities: Abilities::default() });
            }
            Some(scheme) => place_of_url(text, &scheme, configuration)?,
        };
        Ok(Self { text: text.to_owned(), place, abilities })
    }

    /// A place in a store that is there already.
    pub fn remote(text: &str, store: Arc<dyn ObjectStore>, path: &str) -> Self {
        let place = Place::Remote { store, path: StorePath::from(path) };
        Self { text: text.to_owned(), place, abilities: Abilities::default() }
    }

    /// A place in a store that is there already, whose uploads can be completed by their ids.
    pub fn resumable<S: ObjectStore + MultipartStore>(text: &str, store: &Arc<S>, path: &str) -> Self {
        let multipart: Arc<dyn MultipartStore> = Arc::clone(store) as _;
        let abilities = Abilities { multipart: Some(multipart), ..Abilities::default() };
        Self { abilities, ..Self::remote(text, Arc::clone(store) as _, path) }
    }

    /// How to complete uploads of others; absent for local files and stores that cannot.
    pub fn multipart(&self) -> Option<&Arc<dyn MultipartStore>> {
        self.abilities.multipart.as_ref()
    }

    /// How to find uploads that nobody will complete; absent for local files and stores that cannot list them.
    pub fn open_uploads(&self) -> Option<&Arc<dyn OpenUploads>> {
        self.abilities.open_uploads.as_ref()
    }

    /// The location's store, where directories below it, and it itself, go with the last file in them.
    pub(crate) fn below_our_root(&self, store: &Arc<dyn ObjectStore>, root: &StorePath) -> Arc<dyn ObjectStore> {
        match &self.abilities.directories {
            Some(directories) => Arc::new(directories.removing_empty_directories(root)),
            None => Arc::clone(store),
        }
    }

    /// How the location is reached.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({})", self.text)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "Local({})", path.display()),
            Self::Remote { store, path } => write!(f, "Remote({store}, {path})"),
        }
    }
}

/// The scheme, when `text` is a URL: `name://…`, and `file:/…` as Flink writes it.
fn scheme_of(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once(':')?;
    let is_name = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let scheme = scheme.to_ascii_lowercase();
    (is_name && (rest.starts_with("//") || (scheme == "file" && rest.starts_with('/')))).then_some(scheme)
}

type PlaceAndAbilities = (Place, Abilities);

fn place_of_url(
    text: &str,
    scheme: &str,
    configuration: &BTreeMap<String, String>,
) -> Result<PlaceAndAbilities, LocationError> {
    if NOT_BUILT.contains(&scheme) {
        return Err(LocationError::NotBuilt { text: text.to_owned(), scheme: scheme.to_owned() });
    }
    let known = ["file", "hdfs", "s3", "s3a", "s3p", "gs", "az", "adl", "azure", "abfs", "abfss", "http", "https"];
    if !known.contains(&scheme) {
        return Err(LocationError::UnknownScheme { text: text.to_owned(), scheme: scheme.to_owned() });
    }
    let normalized = match scheme {
        "s3p" => text.replacen("s3p:", "s3:", 1),
        _ => text.to_owned(),
    };
    let url = Url::parse(&normalized).map_err(|source| LocationError::InvalidUrl { text: text.to_owned(), source })?;
    if scheme == "file" {
        let path = url.to_file_path().map_err(|()| LocationError::FileUrlWithHost { text: text.to_owned() })?;
        return Ok((Place::Local(path), Abilities::default()));
    }
    if scheme == "hdfs" {
        let opened = hdfs::open(&url, configuration);
        let (store, path) = opened.map_err(|source| LocationError::Hdfs { text: text.to_owned(), source })?;
        let abilities = Abilities {
            multipart: Some(Arc::clone(&store) as _),
            open_uploads: Some(Arc::clone(&store) as _),
            directories: Some(Arc::clone(&store)),
        };
        return Ok((Place::Remote { store, path }, abilities));
    }
    let options = store_options::options(scheme, configuration)?;
    open_store(&url, options).map_err(|source| LocationError::Store { text: text.to_owned(), source })
}

/// Where S3 is unless somebody says otherwise.
const DEFAULT_REGION: &str = "us-east-1";

/// How long a request is tried again that failed for a passing reason: long enough for a server that restarts, short enough
/// that a wrong address is known soon.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest pause between two tries.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// More than there is time for.
const RETRIES_MAX: usize = 30;

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: RETRY_PAUSE_MAX, base: 2.0 };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT }
}

/// The store behind a URL, as [`object_store::parse_url_opts`] has it, without losing what else it can do.
fn open_store(url: &Url, options: BTreeMap<String, String>) -> Result<PlaceAndAbilities, object_store::Error> {
    macro_rules! builder {
        ($builder:ty) => {
            options.into_iter().fold(
                <$builder>::new().with_url(url.to_string()).with_retry(retries()),
                |builder, (key, value)| match key.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                },
            )
        };
    }
    macro_rules! place {
        ($store:expr, $path:expr, $open:expr) => {{
            let multipart: Arc<dyn MultipartStore> = Arc::clone(&$store) as _;
            let abilities = Abilities { multipart: Some(multipart), open_uploads: $open, directories: None };
            (Place::Remote { store: $store, path: StorePath::parse($path)? }, abilities)
        }};
    }
    let (scheme, path) = ObjectStoreScheme::parse(url)?;
    Ok(match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let builder = builder!(AmazonS3Builder);
            let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
            let store = Arc::new(builder.build()?);
            let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
            let open: Arc<dyn OpenUploads> = Arc::new(S3OpenUploads::new(Arc::clone(&store), region)?);
            place!(store, path, Some(open))
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let store = Arc::new(builder!(GoogleCloudStorageBuilder).build()?);
            place!(store, path, None)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let store = Arc::new(builder!(MicrosoftAzureBuilder).build()?);
            place!(store, path, None)
        }
        _ => {
            let (store, path) = object_store::parse_url_opts(url, options)?;
            (Place::Remote { store: Arc::from(store), path }, Abilities::default())
        }
    })
}

/// A local path as people should see it.
pub fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, LocationError> {
        let configuration = [
            ("s3.access-key", "key"),
            ("s3.secret-key", "secret"),
            ("s3.endpoint", "http://localhost:9000"),
            ("s3.path.style.access", "true"),
            ("pelton.working-directory", "/of/client"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Location::parse(text, &configuration.into())
    }

    #[test]
    fn paths_and_file_urls_are_local() {
        for (text, expected) in [
            ("data/in.txt", "/of/client/data/in.txt"),
            ("./out/", "/of/client/out"),
            ("../in.txt", "/of/client/../in.txt"),
            ("/data/a:b.txt", "/data/a:b.txt"),
            ("file:///data/with%20space", "/data/with space"),
            ("file:/data/x", "/data/x"),
        ] {
            match parse(text).map(|location| location.place) {
                Ok(Place::Local(path)) => assert_eq!(path, Path::new(expected)),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_relative_path_is_shown_with_its_folder_and_refused_without_one() {
        assert_eq!(parse("out").expect("a path").to_string(), "/of/client/out");
        assert_eq!(parse("/out/").expect("a path").to_string(), "/out/");
        let message = Location::parse("out", &BTreeMap::new()).expect_err("relative to nothing").to_string();
        assert!(
            message.starts_with("`out` is a relative path") && message.contains("pelton.working-directory"),
            "{message}"
        );
    }

    #[test]
    fn object_store_urls_are_remote() {
        for (text, expected) in [
            ("s3://bucket/dir/file", "dir/file"),
            ("s3a://bucket/dir", "dir"),
            ("s3p://bucket/dir", "dir"),
            ("http://localhost:1/some/file.csv", "some/file.csv"),
            ("hdfs://localhost/dir/a%20b", "dir/a b"),
            ("hdfs://localhost", ""),
        ] {
            match parse(text).map(|location| location.place) {
                Ok(Place::Remote { path, .. }) => assert_eq!(path.as_ref(), expected),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_with_its_name() {
        for (text, expected) in [
            ("viewfs://host/x", "`viewfs://host/x`: viewfs:// is not built yet"),
            ("hdfs://me@host/x", "cannot set up access to `hdfs://me@host/x`"),
            ("ftp://host/x", "`ftp://host/x`: unknown scheme `ftp`"),
            ("file://host/x", "`file://host/x` names a host"),
            ("http://[/x", "`http://[/x` is not a valid URL"),
            ("", "a path or URL is expected"),
        ] {
            let message = parse(text).expect_err(text).to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
