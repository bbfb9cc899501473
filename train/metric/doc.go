// Package metric computes what models are judged by, as the libraries that published numbers come from compute it: seqeval for
// entities, the SQuAD scripts for answers, scikit-learn for classes, labels and correlations, sentence-transformers for retrieval.
// The fixtures in testdata were written by those libraries, by the script beside them.
//
// Where a library puts a number in the place of an undefined one, a function says what it does. Precision, recall and F1 of nothing
// are 0 (scikit-learn's and seqeval's zero_division=0); a correlation, R², ROC AUC or kappa that is undefined is NaN.
//
// Functions that compare two lists panic when the lengths differ, for that is a mistake of the program and not of the data. What
// data can get wrong is an error.
package metric

import "fmt"

func sameLength(what string, truth, predicted int) {
	if truth != predicted {
		panic(fmt.Sprintf("metric: %s: %d true and %d predicted values", what, truth, predicted))
	}
}
