"""What section 3 of Hinton, Vinyals and Dean (2015, arXiv:1503.02531) reports: errors on the 10,000 test images."""

LARGE, PLAIN, STUDENT = 67, 146, 74
WITHOUT_3, WITHOUT_3_ON_3 = 206, 133
RAISED_BY, RAISED, RAISED_ON_3 = 3.5, 109, 14
ONLY_7_8_PERCENT, LOWERED_BY, LOWERED_PERCENT = 47.3, -7.6, 13.2
