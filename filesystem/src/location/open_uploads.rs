//! Uploads that were begun and neither completed nor aborted: what `object_store` can abort but not list.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{ClientOptions, HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::path::Path;
use object_store::signer::Signer;
use url::Url;

/// An upload that somebody may complete or abort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The object that it would make.
    pub path: Path,
    /// Its id.
    pub id: String,
}

/// Why uploads are not listed.
#[derive(Debug, thiserror::Error)]
pub enum ListUploadsError {
    /// The store cannot be reached or has no credentials.
    #[error("cannot ask for open uploads")]
    Store(#[from] object_store::Error),
    /// The request or its answer was lost.
    #[error("cannot ask for open uploads")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store said no.
    #[error("the store refused to list open uploads with status {status}: {answer}")]
    Refused {
        /// The status.
        status: u16,
        /// The beginning of what it said.
        answer: String,
    },
}

/// Lists open uploads of one bucket or file system.
#[async_trait]
pub trait OpenUploads: std::fmt::Debug + Send + Sync {
    /// The uploads of objects beneath `directory`.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked or does not answer.
    async fn beneath(&self, directory: &Path) -> Result<Vec<OpenUpload>, ListUploadsError>;
}

/// Those of a bucket in S3.
#[derive(Debug)]
pub(super) struct S3OpenUploads {
    store: Arc<AmazonS3>,
    region: String,
    client: HttpClient,
}

/// How much of a refusal is shown.
const ANSWER_SHOWN: usize = 300;

/// How long the address that only tells where the bucket is would be valid.
const ADDRESS_VALID: Duration = Duration::from_secs(1);

impl S3OpenUploads {
    pub(super) fn new(store: Arc<AmazonS3>, region: String) -> Result<Self, object_store::Error> {
        // An address without TLS has been allowed or refused by the store already.
        let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true))?;
        Ok(Self { store, region, client })
    }

    async fn page(
        &self,
        mut url: Url,
        directory: &Path,
        after: Option<&(String, String)>,
    ) -> Result<String, ListUploadsError> {
        url.query_pairs_mut().append_pair("prefix", &format!("{directory}/")).append_pair("uploads", "");
        if let Some((key, id)) = after {
            url.query_pairs_mut().append_pair("key-marker", key).append_pair("upload-id-marker", id);
        }
        // What forms write as a plus, signatures write as a space.
        let address = url.as_str().replace('+', "%20");
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = address.parse().map_err(lost)?;
        let credential = self.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        let answer = self.client.execute(request).await.map_err(lost)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(lost)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Ok(text);
        }
        Err(ListUploadsError::Refused { status: status.as_u16(), answer: text.chars().take(ANSWER_SHOWN).collect() })
    }
}

#[async_trait]
impl OpenUploads for S3OpenUploads {
    async fn beneath(&self, directory: &Path) -> Result<Vec<OpenUpload>, ListUploadsError> {
        let mut bucket = self.store.signed_url(Method::GET, &Path::default(), ADDRESS_VALID).await?;
        bucket.set_query(None);
        let mut found = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let page = self.page(bucket.clone(), directory, after.as_ref()).await?;
            found.extend(uploads_in(&page));
            after = match (value_in(&page, "NextKeyMarker"), value_in(&page, "NextUploadIdMarker")) {
                (Some(key), Some(id)) if value_in(&page, "IsTruncated").as_deref() == Some("true") => Some((key, id)),
                _ => return Ok(found),
            };
        }
    }
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ListUploadsError {
    ListUploadsError::Lost(error.into())
}

/// The uploads in S3's answer, an XML document of which nothing else matters.
fn uploads_in(page: &str) -> Vec<OpenUpload> {
    let upload = |element: &str| {
        let path = Path::parse(value_in(element, "Key")?).ok()?;
        Some(OpenUpload { path, id: value_in(element, "UploadId")? })
    };
    page.split("<Upload>").skip(1).filter_map(upload).collect()
}

/// The text of the first element of this name.
fn value_in(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#34;", "\""), ("&#39;", "'")];
    let value = plain.iter().fold(value.to_owned(), |value, (escaped, plain)| value.replace(escaped, plain));
    Some(value.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_found_in_the_answer() {
        let page = "<ListMultipartUploadsResult><NextKeyMarker></NextKeyMarker><IsTruncated>false</IsTruncated>\
                    <Upload><Key>out/a&amp;b/part-1</Key><UploadId>x1</UploadId><Initiator><ID>i</ID></Initiator></Upload>\
                    <Upload>\n<Key>out/part-2</Key><UploadId>x2</UploadId></Upload></ListMultipartUploadsResult>";
        let upload = |path: &str, id: &str| OpenUpload { path: Path::parse(path).expect("a path"), id: id.into() };
        assert_eq!(uploads_in(page), [upload("out/a&b/part-1", "x1"), upload("out/part-2", "x2")]);
        assert_eq!(value_in(page, "IsTruncated").as_deref(), Some("false"));
        assert!(uploads_in("<html>no S3</html>").is_empty());
    }
}
