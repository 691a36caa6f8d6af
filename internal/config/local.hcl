# The configuration of `recordhost record` when it is given none.
data_dir = state_dir

runtime "local" "here" {
  slots = 1
}

storage "blob" "files" {
  url = recordings
}
