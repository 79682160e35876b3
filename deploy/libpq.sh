#!/bin/sh
# Sourced by backup.sh and restore.sh: logs in with STORE_DB_DIRECT_URL without making its password
# an argument of a program, because `ps` shows arguments to every user of the machine.
#
# Needs:  script  the name that messages begin with
# Sets:   url     STORE_DB_DIRECT_URL without the password; PGPASSWORD is exported

fail() {
  echo "${script:?}: $1" >&2
  exit "${2:-2}"
}

# Decode %40 and the like, as libpq does in the password of a URL.
decoded() {
  rest=$1
  while :; do
    case $rest in
      *%[0-9A-Fa-f][0-9A-Fa-f]*)
        printf '%s' "${rest%%\%*}"
        rest=${rest#*%}
        hex=${rest%"${rest#??}"}
        octal=$(printf '%03o' "0x$hex")
        # The escape is the format: this is how a shell writes a byte.
        # shellcheck disable=SC2059
        printf "\\$octal"
        rest=${rest#??}
        ;;
      *)
        printf '%s' "$rest"
        return
        ;;
    esac
  done
}

log_in() {
  : "${STORE_DB_DIRECT_URL:?libpq URL of the database, past the pooler}"
  case $STORE_DB_DIRECT_URL in
    *[?\&]password=*) fail "STORE_DB_DIRECT_URL must have its password before the @, not behind the ?" ;;
    postgresql://* | postgres://*) ;;
    *) fail "STORE_DB_DIRECT_URL must be a URL: postgresql://user:password@host:port/database" ;;
  esac
  url=$STORE_DB_DIRECT_URL
  rest=${url#*://}
  login=${rest%%[@/]*}
  case ${rest#"$login"} in
    @*)
      case $login in
        *:*)
          PGPASSWORD=$(decoded "${login#*:}")
          export PGPASSWORD
          url=${url%%://*}://${login%%:*}${rest#"$login"}
          ;;
        *) ;; # no password in it: PGPASSWORD or PGPASSFILE, as libpq reads them
      esac
      ;;
    *) ;;
  esac
}

ask() {
  psql "$url" -X -A -t -q -v ON_ERROR_STOP=1 -c "$1"
}
