# A configuration of recordhost, with every setting. What is commented out shows its default.
#
#   recordhost validate --config recordhost.hcl
#   recordhost serve    --config recordhost.hcl
#
# Relative paths count from this file's folder, which expressions know as dir. Keep secrets out of here: env("NAME") reads
# a variable of the environment, file("path") a file's text without the line end behind it.

# All that a host must not lose: its tasks, and what was recorded but not yet delivered. One host uses it at a time.
data_dir = "data"
# key_file = "data/seal.key" # seals the tasks' secrets in data_dir; made at the first start

# Where the plugins are. Without it: the folder "plugins" beside the recordhost executable.
plugin_dir = "bin/plugins"

# The blocks below that are used where a request does not name another. One block alone needs no naming.
default_runtime = "here"
default_storage = "files"

# What SIGTERM does: "handover" ends the host, the recordings go on and the next host takes them up; "drain" takes no new ones,
# and ends the host when all that run have ended by themselves. `recordhost drain` does that at any time.
# on_term = "handover"

api {
  # Only loopback addresses are served, since nobody is asked who they are.
  listen = "127.0.0.1:8080"

  # Serve the API below this path too, "/record" for example.
  # path_prefix = "/record"

  # Web pages of these origins may call the API from a browser: "https://example.com", or "*" for all.
  # cors_origins = []

  # An EncryptKey of 32 hexadecimal digits stands for 16 bytes. true: its first 16 characters are the key, as with callers that have
  # always served these to their players.
  # legacy_encrypt_key = false
}

# How recordings are made.
engine {
  fps = 30 # frames a second, 1 to 60, where a request does not say

  # Quality and effort of the picture's encoder, libx264: a lower crf is a better picture, a slower preset a smaller file.
  # Without them the encoder's own defaults hold, chosen by measurement and close to these. audio_bitrate is in bit/s.
  # crf           = 23
  # preset        = "superfast"
  # audio_bitrate = 128000

  # The browser's own binary (not a wrapper script) and ffmpeg. Without them recordhost looks in the usual places.
  # chrome = "/usr/lib/chromium/chromium"
  # ffmpeg = "/usr/bin/ffmpeg"

  # Chrome's sandbox. "off" only where it cannot work and every page is trusted.
  # sandbox = "on"

  # page_timeout   = "1m"   # for a page to load; a second attempt gets half of it
  # resume_within  = "10m"  # an outage of Chrome, page or worker that is longer ends the recording with what there is
  # max_lifetime   = "1d"   # a task that nobody stops, waiting or paused, is stopped then
  # upload_give_up = "1d"   # a delivery that keeps failing is given up then; the recording stays below data_dir
  # min_free       = "1GiB" # no recording is started while data_dir's disk has less free; 0: that is not looked at
}

# How long what is over is kept: finished tasks, as Describe and List answer them, and recordings that could not be delivered,
# which stay in data_dir. At least "1h"; d is a day. A recording goes with its task, when that is deleted sooner.
retention {
  # tasks = "30d"
  # spool = "7d"
}

# How the caller is told what came of a task whose Start has a CallbackURL.
callback {
  # Signs what is sent, as Standard Webhooks (standardwebhooks.com) say: "whsec_" and the key in base64, 24 to 64 random bytes.
  # secret = env("CALLBACK_SECRET")

  # give_up = "72h" # from the first try to the last; "0s": only the five tries before the task is finished
}

# Where recordings run: plugin and name. The plugin "local" runs them as processes of this machine.
runtime "local" "here" {
  slots = 4 # recordings at a time; without it half the number of processors

  # worker    = "/usr/local/bin/recordhost" # the program that records; without it this host's own
  # keep_logs = "168h"                      # how long the workers' logs below data_dir are kept

  # Every plugin block may have these two. env is added to the plugin's environment, in which nothing else of the host's
  # stands but PATH, HOME, LANG and TZ. sha256 pins the executable: no other is run.
  # env    = { HTTPS_PROXY = "http://proxy:3128" }
  # sha256 = "…64 hex digits, as sha256sum prints them…"
}

# Where recordings are kept: plugin and name. The plugin "blob" keeps them in a folder or an object store.
storage "blob" "files" {
  url = "file://${dir}/recordings"
}

# storage "blob" "archive" {
#   url = "s3://lessons?region=eu-central-1"
#   env = {
#     AWS_ACCESS_KEY_ID     = env("ARCHIVE_KEY_ID")
#     AWS_SECRET_ACCESS_KEY = file("/run/secrets/archive")
#   }
# }

# Tencent Cloud: "cos" is its object storage (docs/storage-cos.md; `go run ./test/fakecos` is one to try it with).
# storage "cos" "lessons" {
#   bucket     = "lessons-1250000000"
#   region     = "ap-shanghai"
#   secret_id  = env("COS_SECRET_ID")
#   secret_key = env("COS_SECRET_KEY")
# }

# And "vod" is its video on demand: a recording becomes a media there (docs/storage-vod.md).
# storage "vod" "media" {
#   secret_id  = env("VOD_SECRET_ID")
#   secret_key = env("VOD_SECRET_KEY")
#   sub_app_id = 1500000123
# }
