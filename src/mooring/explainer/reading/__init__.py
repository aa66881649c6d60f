"""What bytes say, and the bytes that say it: records, baselines, outputs and answers, in both formats. No I/O."""
