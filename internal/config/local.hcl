# The configuration of `recordhost record` when it is given none.
data_dir = state_dir

runtime "local" "here" {}

storage "blob" "files" {
  url = recordings
}
