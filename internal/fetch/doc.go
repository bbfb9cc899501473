// Package fetch gets what others publish: files over HTTP and packages through the user's own package managers. It resumes,
// checks and unpacks downloads, and has what keeps a cache folder whole when several processes fill it. It knows nothing of
// what the files are.
package fetch
