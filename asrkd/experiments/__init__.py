"""The paper's speech experiments around section 4, each one command on an experiment that has stages 0 to 5 done."""
