#!/bin/sh
# Makes .env, or adds what an older one lacks:
#   sh deploy/new-env.sh [FILE]        (FILE: .env next to docker-compose.yaml)
#
# A new file is .env.example with fresh secrets. What only you know (TIKTOK_CLIENT_KEY,
# TIKTOK_CLIENT_SECRET, CONNECT_BASE_URL) stays as it is there. In a file that exists, no value is
# changed: variables that it lacks are appended, and secrets that are empty are filled in.
# Do not redirect its output into .env: the shell would empty the file before this begins.
set -eu

fail() {
  echo "new-env: $1" >&2
  exit 2
}

folder=$(dirname "$0")/..
example=$folder/.env.example
file=${1:-$folder/.env}
# A link to a file elsewhere stays a link.
if [ -L "$file" ]; then
  target=$(readlink -f "$file") || fail "$file is a link into a folder that does not exist"
  file=$target
fi
[ -d "$(dirname "$file")" ] || fail "there is no folder $(dirname "$file") for $file"
[ -r "$example" ] || fail "$example is missing"
if [ -e "$file" ]; then
  [ -f "$file" ] || fail "$file is not a file"
  [ -r "$file" ] || fail "$file is not readable for you"
  if [ /dev/stdout -ef "$file" ]; then
    fail "the shell has just emptied $file, because of the > in your command. Put your copy of it back;
  if there never was one: rm $file, then sh deploy/new-env.sh without the >."
  fi
fi

random() {
  head -c "$1" /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'
}

# A secret of $1 bytes in the variable `made`; a pipe's own status would only be that of its end.
make_secret() {
  made=$(random "$1")
  [ ${#made} -ge "$1" ] || fail "could not read random bytes: are /dev/urandom and base64 there?"
}

# The line $1 of .env.example with a secret in it, if it needs one, in the variable `filled`.
fill() {
  made=
  case $1 in
    # Fernet keys: 32 bytes, base64 for URLs, with the padding.
    TIKTOK_TOKEN_KEYS= | AIRFLOW_FERNET_KEY=) make_secret 32 ;;
    AIRFLOW_JWT_SECRET= | AIRFLOW_API_SECRET_KEY= | CONNECT_SECRET=) make_secret 48 ;;
    # Passwords stand in URLs: letters, digits, - and _ only.
    *_PASSWORD=) make_secret 24 ;;
    *) ;;
  esac
  filled=$1$made
}

umask 077
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 143' HUP INT TERM

if [ ! -e "$file" ]; then
  while IFS= read -r line; do
    fill "$line"
    printf '%s\n' "$filled"
  done <"$example" >"$new"
  # Unlike mv, a link fails if somebody has made the file meanwhile.
  ln "$new" "$file" || fail "$file was made by somebody else meanwhile"
  echo "new-env: made $file; now set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET in it, and keep a copy" >&2
  exit 0
fi

# With its owner, where that is possible, and for its owner's eyes only.
cp -p "$file" "$new"
chmod go-rwx "$new"
: >"$new"

# Editors on Windows begin a file with a mark that Compose passes over.
mark=$(printf '\357\273\277')

# For each line: the name that it sets, and "value" or "empty"; "- -" where it sets none, or stands
# inside of a value of several lines. As Compose reads it: blanks, `export` and a colon are allowed.
assignments=$(
  LC_ALL=C sed "1s/^$mark//" "$file" | LC_ALL=C awk '
    function closed(text) {
      if (quote == "\"") gsub(/\\./, "", text)
      return index(text, quote) > 0
    }
    {
      sub(/[ \t\r]+$/, "")
      if (quote != "") {
        if (closed($0)) quote = ""
        print "- -"
        next
      }
      sub(/^[ \t]*(export[ \t]+)?/, "")
      if ($0 !~ /^[A-Za-z_][A-Za-z0-9_]*[ \t]*[=:]/) {
        print "- -"
        next
      }
      name = value = $0
      sub(/[ \t]*[=:].*/, "", name)
      sub(/^[A-Za-z0-9_]+[ \t]*[=:]/, "", value)
      empty = value ~ /^[ \t]*(""|\047\047)?([ \t]+#.*)?$/
      print name, (empty ? "empty" : "value")
      sub(/^[ \t]+/, "", value)
      quote = substr(value, 1, 1)
      if ((quote != "\"" && quote != "\047") || closed(substr(value, 2))) quote = ""
      else opened = NR
    }
    END {
      if (quote != "") {
        print opened
        exit 3
      }
    }'
) || fail "in $file the quotation mark of line $(printf '%s\n' "$assignments" | tail -n 1) is never closed"

# Whether a line $2 (a pattern) of the name $1 is there; of two, Compose takes the later.
assigns() {
  printf '%s\n' "$assignments" | grep -qx "$1 $2"
}

added=
# Empty secrets first, where they stand. The readers' passwords may be empty on purpose: nobody logs
# in with these roles then.
while IFS= read -r line || [ -n "$line" ]; do
  line=${line#"$mark"}
  read -r name state <&3
  filled=$line
  case $name in
    - | ANALYST_DB_PASSWORD | ANALYST_NAMED_DB_PASSWORD | MONITOR_DB_PASSWORD) ;;
    *)
      # Only our own: another program may read this file too. And only if no other line says more.
      if [ "$state" = empty ] && grep -qx "$name=" "$example" && ! assigns "$name" value; then
        fill "$name="
        if [ -n "$made" ]; then added="$added $name"; else filled=$line; fi
      fi
      ;;
  esac
  printf '%s\n' "$filled"
done <"$file" >"$new" 3<<END
$assignments
END

heading="# Added by deploy/new-env.sh on $(date -u +%Y-%m-%d), as in .env.example."
while IFS= read -r line; do
  case $line in [A-Z]*=*) ;; *) continue ;; esac
  name=${line%%=*}
  if assigns "$name" ".*"; then continue; fi
  case $name in
    ANALYST_DB_PASSWORD | ANALYST_NAMED_DB_PASSWORD | MONITOR_DB_PASSWORD) filled=$line ;;
    *) fill "$line" ;;
  esac
  [ -z "$heading" ] || printf '\n%s\n' "$heading" >>"$new"
  heading=
  printf '%s\n' "$filled" >>"$new"
  added="$added $name"
done <"$example"

if [ -z "$added" ]; then
  echo "new-env: $file lacks nothing" >&2
  exit 0
fi
mv "$new" "$file"
echo "new-env: added to $file:$added" >&2
case " $added " in
  *" TIKTOK_TOKEN_KEYS "*)
    echo "new-env: TIKTOK_TOKEN_KEYS is a new key. If the database holds tokens already, put the old" \
      "key in its place: without it they cannot be read." >&2
    ;;
  *) ;;
esac
