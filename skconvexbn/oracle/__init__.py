"""The dual oracle max_{||h|| <= 1} ||V^T relu(Q h)||: in arrangements, on circles, by search."""
