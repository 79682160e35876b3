#!/bin/sh
# Makes .env, or adds what an older one lacks:
#   sh deploy/new-env.sh [FILE]        (FILE: .env beside docker-compose.yaml)
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
[ ! -L "$file" ] || file=$(readlink -f "$file")
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
added=
# Empty secrets first, where they stand. ANALYST_DB_PASSWORD and MONITOR_DB_PASSWORD may be empty on
# purpose: nobody logs in with these roles then.
while IFS= read -r line || [ -n "$line" ]; do
  plain=$(printf '%s\n' "$line" | sed -e 's/[[:space:]]*$//' -e "s/=\(\"\"\|''\)\$/=/")
  filled=$line
  case $plain in
    ANALYST_DB_PASSWORD= | MONITOR_DB_PASSWORD=) ;;
    [A-Z]*=)
      # Only our own: another program may read this file too.
      if grep -qx "$plain" "$example"; then
        fill "$plain"
        if [ -n "$made" ]; then added="$added ${plain%=}"; else filled=$line; fi
      fi
      ;;
    *) ;;
  esac
  printf '%s\n' "$filled"
done <"$file" >"$new"

heading="# Added by deploy/new-env.sh on $(date -u +%Y-%m-%d), as in .env.example."
while IFS= read -r line; do
  case $line in [A-Z]*=*) ;; *) continue ;; esac
  name=${line%%=*}
  # As Compose reads it: blanks, `export` and a colon are allowed.
  if grep -Eq "^[[:space:]]*(export[[:space:]]+)?${name}[[:space:]]*[=:]" "$file"; then
    continue
  fi
  case $name in
    ANALYST_DB_PASSWORD | MONITOR_DB_PASSWORD) filled=$line ;;
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
