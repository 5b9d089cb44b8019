#!/usr/bin/env bash
# Puts a Kafka broker for tests into the per-user cache: the jars of one release, from Maven Central
# through the machine's own Maven, so that the user's mirrors and proxies hold. Tests start it on
# loopback with a data folder of its own; nothing is installed as a service and the host does not
# need it.
#
# Needs a JDK from 17 on (the broker is Java, and the tests' own client is a single source file that
# `java` compiles when it starts) and Maven. Missing ones are installed by apt on Debian when root.
# Idempotent: a folder with a stamp is left alone. Prints the folder of the jars.
#   MILLSTREAM_TEST_KAFKA=host:port   tests use that broker instead, but still this client.
set -euo pipefail
version=${KAFKA_VERSION:-4.1.1}
cache=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}
out=$cache/kafka-$version

say() { echo "setup-kafka: $*" >&2; }
fail() {
  say "$1"
  say "tests that need a broker will say SKIPPED"
  exit 1
}

java_version() { java -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p'; }
has_jdk() { command -v java >/dev/null && command -v javac >/dev/null && [ "$(java_version)" -ge 17 ]; }

missing=()
has_jdk || missing+=(default-jdk-headless)
if [ -f "$out/.done" ]; then
  [ ${#missing[@]} -gt 0 ] || { echo "$out/libs"; exit 0; }
else
  command -v mvn >/dev/null || missing+=(maven)
fi
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] \
    || fail "missing: ${missing[*]} (a JDK from 17 on; Maven fetches the broker's jars); install them and start again"
  say "installing ${missing[*]} (Kafka's broker runs on Java, Maven fetches its jars; for tests only)"
  apt-get update -qq >&2 || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 \
    || fail "apt-get could not install ${missing[*]}"
  has_jdk || fail "java $(java_version) is older than 17"
  if [ -f "$out/.done" ]; then echo "$out/libs"; exit 0; fi
fi

say "fetching Kafka $version (50 MB) from Maven Central, for the tests' broker, into $out"
new=$out.new.$$
trap 'rm -rf "$new"' EXIT
mkdir -p "$new"
# slf4j-simple: the broker's and the client's warnings reach their log files.
cat > "$new/pom.xml" <<P
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millstream</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
P
# Bounded, so that a machine without a network does not hang; checksums of all files are compared.
timeout 300 mvn --batch-mode --quiet --strict-checksums --file "$new/pom.xml" dependency:copy-dependencies \
  -DincludeScope=runtime -DoutputDirectory="$new/libs" >&2 || fail "Maven could not fetch Kafka $version (see above)"
touch "$new/.done"
rm -rf "$out"
# A second run at the same time may have been faster.
mv -T "$new" "$out" 2>/dev/null || [ -f "$out/.done" ] || fail "cannot move $new to $out"
echo "$out/libs"
