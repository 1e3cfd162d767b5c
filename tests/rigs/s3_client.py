"""A small S3 client for tests, which signs by itself (Signature Version 4): what the daemon wrote is looked at
through other code than the daemon's own. Path style; endpoint and keys from arguments or the environment.
"""

import datetime
import hashlib
import hmac
import http.client
import os
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree


class S3Error(Exception):
    """A reply that is no success: `status`, `code` and `message` of the error document, `request_id`."""

    def __init__(self, status, body, headers):
        self.status, self.code, self.message = status, "Unknown", body[:200].decode("utf-8", "replace")
        self.request_id = headers.get("x-amz-request-id", "none")
        try:
            document = ElementTree.fromstring(body)
            self.code = document.findtext("{*}Code") or self.code
            self.message = document.findtext("{*}Message") or self.message
        except ElementTree.ParseError:
            self.code = {404: "NoSuchKey", 403: "AccessDenied", 412: "PreconditionFailed"}.get(status, self.code)
        super().__init__(f"{status} {self.code}: {self.message}")


def quote(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


class S3:
    def __init__(self, endpoint=None, key=None, secret=None, region=None, token=None, timeout=60):
        environment = os.environ.get
        url = urllib.parse.urlsplit(endpoint or environment("SLUICE_TEST_S3_ENDPOINT"))
        self.secure, self.host, self.timeout = url.scheme == "https", url.netloc, timeout
        self.key = key or environment("AWS_ACCESS_KEY_ID", "")
        self.secret = secret or environment("AWS_SECRET_ACCESS_KEY", "")
        self.token = token or (None if key else environment("AWS_SESSION_TOKEN"))
        self.region = region or environment("AWS_REGION", "us-east-1")

    def sign(self, method, path, query, headers, payload_hash):
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        headers = {"host": self.host, "x-amz-date": stamp, "x-amz-content-sha256": payload_hash,
                   **{k.lower(): v for k, v in headers.items()}}
        if self.token:
            headers["x-amz-security-token"] = self.token
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, path, query, *(f"{k}:{' '.join(headers[k].split())}" for k in sorted(headers)),
                               "", names, payload_hash])
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret).encode()
        for part in (day, self.region, "s3", "aws4_request", text):
            key = hmac.digest(key, part.encode(), "sha256")
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, "
                                    f"Signature={key.hex()}")
        return headers

    def request(self, method, bucket, key="", query=None, body=b"", headers=None):
        """The reply's (body, headers), or S3Error."""
        path = "/" + quote(bucket) + ("/" + quote(key, "-_.~/") if key else "")
        text = "&".join(f"{k}={v}" for k, v in sorted((quote(k), quote(str(v))) for k, v in (query or {}).items()))
        signed = self.sign(method, path, text, headers or {}, hashlib.sha256(body).hexdigest())
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        connection = kind(self.host, timeout=self.timeout)
        try:
            connection.request(method, path + ("?" + text if text else ""), body=body, headers=signed)
            reply = connection.getresponse()
            content, replied = reply.read(), {k.lower(): v for k, v in reply.getheaders()}
        finally:
            connection.close()
        if reply.status >= 300:
            raise S3Error(reply.status, content, replied)
        return content, replied

    def get(self, bucket, key):
        return self.request("GET", bucket, key)[0]

    def head(self, bucket, key):
        return self.request("HEAD", bucket, key)[1]

    def put(self, bucket, key, body, **headers):
        return self.request("PUT", bucket, key, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def delete(self, bucket, key):
        self.request("DELETE", bucket, key)

    def make_bucket(self, bucket):
        try:
            self.request("PUT", bucket)
        except S3Error as e:
            if e.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def list(self, bucket, prefix=""):
        """(key, size) of every object below the prefix, in order."""
        found, token = [], None
        while True:
            query = {"list-type": 2, "prefix": prefix, **({"continuation-token": token} if token else {})}
            page = ElementTree.fromstring(self.request("GET", bucket, query=query)[0])
            for item in page.iterfind("{*}Contents"):
                found.append((item.findtext("{*}Key"), int(item.findtext("{*}Size"))))
            token = page.findtext("{*}NextContinuationToken")
            if not token:
                return sorted(found)

    def uploads(self, bucket, prefix=""):
        """(key, upload id) of the multipart uploads that nobody completed or aborted."""
        page = ElementTree.fromstring(self.request("GET", bucket, query={"uploads": "", "prefix": prefix})[0])
        return [(u.findtext("{*}Key"), u.findtext("{*}UploadId")) for u in page.iterfind("{*}Upload")]


if __name__ == "__main__":  # s3_client.py BUCKET: make it, for the rig, once the server answers
    import sys

    for attempt in range(100):
        try:
            S3(timeout=10).make_bucket(sys.argv[1])
            break
        except (S3Error, OSError, http.client.HTTPException) as e:
            if attempt == 99 or (isinstance(e, S3Error) and e.status < 500):
                sys.exit(f"creating the bucket {sys.argv[1]}: {e}")
            time.sleep(0.1)
