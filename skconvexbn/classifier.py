"""ConvexBNClassifier: log loss or squared error on class labels."""

from __future__ import annotations

import numpy as np

from .single_fit import SingleFit
from .targets import Classification


class ConvexBNClassifier(Classification, SingleFit):
    """Batch-normalised ReLU network for classification, trained by convex optimisation.

    Minimises, over networks of any width m,

        sum_i weight_i loss(f(x_i), y_i) + beta/2 sum_j (gamma_j^2 + alpha_j^2 + ||g_j||^2),

    f(X) = sum_j relu(BN_{gamma_j, alpha_j}(X w_j)) g_j^T + b. Two classes have one output, more
    classes one output each.

    Parameters
    ----------
    loss : {"log_loss", "squared_error"}, default="log_loss"
        "log_loss" is the cross-entropy of a logit (two classes) or of the softmax;
        "squared_error" is half the squared distance to -1 and 1 (two classes) or to one-hot
        vectors.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, which multiply sample_weight; "balanced" is W / (n_classes * W_c),
        with W the sum of the sample weights and W_c that of the class.
    beta : "auto" or float, default="auto"
        Weight of the penalty in the objective above, in [0, inf). "auto" takes
        0.16 nu^1.5 (rank + 1) t^2 n^-1/4 for log loss and 0.5 nu^1.5 (rank + 1) t^2 n^-1/4 times
        the standard deviation of the encoded labels for squared error, with nu the share of their
        variance that is noise, by a linear fit and nearest neighbours, n the sum of weights or, if
        that is less, 100 (rank + 1) (squared error: 200), and t how much longer new rows are in Q,
        n / (n - rank - 1) of all rows or less (theory section 8; squared error, more than two
        classes: no less than 0.7 var sqrt(rank + 1) / beta_max); at most a fifth (squared error: a
        tenth) of beta_max, at which the network has no neurons, or 1 - t^-1/2 of it. The value
        taken is ``beta_``. 0 stands for the limit of small beta: the smallest loss (for log loss on
        separable classes, nearly 0).
    rank : None, int or float, default=None
        Number k of singular directions of X kept (theory section 7): None all, up to the numerical
        rank; an int that many at most; a float in (0, 1) as many as explain more than that share of
        the variance.
    shrinkage : float, default=0.0
        In [0, 1]: 0 is batch normalisation, 1 weight normalisation, see Notes.
    bias_scale : "auto" or float, default=1.0
        Factor b in (0, 1e6]: the penalty on a neuron's shift is alpha^2 / b^2. "auto" is 1 where
        the shrinkage is 0, the paper's network, and 3 elsewhere.
    scale : bool, default=True
        Scale the columns of X to unit variance before the singular value decomposition. No effect
        at full rank with ``shrinkage=0``, but on which arrangements are drawn at random.
    fit_intercept : bool, default=True
        Whether to fit the unpenalised output bias b.
    activation : {"relu", "gated_relu"}, default="relu"
        "gated_relu" is the convex relaxation without cone constraints: the neurons are linear
        where a fixed random gate is open, 1[Q d_j >= 0] * Q h_j, and there is no plain network with
        these outputs.
    arrangements : {"auto", "adaptive", "exact", "sampled"}, default="auto"
        Which activation arrangements D = diag(1[Q h >= 0]) the program ranges over. "adaptive"
        generates them by a search for violations of the dual constraint until the gap is at most
        tol; "exact" enumerates all, an error if there are too many; "sampled" draws
        ``n_arrangements`` directions h at random, as the papers do. "auto" enumerates up to 2000
        (one output; 200 at ranks 1 and 2, where adaptive is exact too) and is adaptive otherwise.
        With ``backend="torch"`` it is adaptive always; with "cvxpy" it enumerates up to 2000 for
        any number of outputs, and samples otherwise. Gates are always sampled. The closed form
        needs none.
    n_arrangements : int, default=100
        Random directions drawn where arrangements are "sampled", as asked or by "auto"; no effect
        elsewhere. Equal arrangements count once.
    backend : {"auto", "closed_form", "cvxpy", "torch"}, default="auto"
        "closed_form" needs as many independent directions as distinct rows (d >= n - 1, no
        truncation, ``shrinkage=0``, ``bias_scale=1``) and equal rows to share their label (but for
        two classes with squared error); an error says which condition does not hold. "cvxpy" solves
        the cone program with Clarabel. "torch" descends on smoothed networks and searches the dual
        ("adaptive"), or solves the program over given arrangements; on CPU or GPU. "auto" takes the
        closed form where it applies, else "torch", but for squared error and "exact"
        arrangements "cvxpy".
    device : None or str, default=None
        Where "torch" solves: "cpu", "cuda", "cuda:<index>" or "mps" (which has no float64: only
        the search runs there); None takes CUDA where it is present and n_samples * (rank + 1) is at
        least 1e6. The other backends run on the CPU. While "torch" solves, BLAS has one thread, and
        on the CPU so has torch if the product is at most 50,000.
    tol : float, default=1e-2
        Duality gap at which to stop, as a fraction of the loss of the model without neurons
        (for squared error, units of R^2). Smaller values hardly change accuracy on new data.
    max_iter : int, default=100
        Rounds of the solver at most.
    max_time : float or None, default=None
        Seconds after which the solver ends with the round it is in and returns the best network so
        far; None sets no limit. What comes before is not counted: whitening, beta="auto", and the
        enumeration of "exact" arrangements.
    warm_start : bool, default=False
        Start from the neurons of the previous fit ("adaptive"), or add their arrangements to
        those sampled. No effect with ``activation="gated_relu"``, whose gates are those drawn.
    random_state : int, RandomState instance or None, default=None
        Draws sampled arrangements, first neurons and the starts of all searches. An int makes fits
        reproducible, whatever the order of the rows.
    verbose : int, default=0
        1 prints a line for every round: seconds, objective, lower bound, gap as a fraction of
        ``zero_loss_``, neurons, and what the solver has to say. 2 shows a bar instead, on terminals
        and in notebooks, if tqdm is installed; it is full when the gap is tol.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted. Those whose samples all have weight 0 get probability 0.
    coefs_ : list of two ndarrays, shapes (n_features, m) and (m, n_outputs)
        Weights W1, W2 of the plain network ``relu(X @ W1 + b1) @ W2 + b2`` with batch
        normalisation folded in. Predictions and exports do not follow edits of these or of the
        other arrays of the network: edit those of ``to_sklearn_mlp()``.
    intercepts_ : list of two ndarrays, shapes (m,) and (n_outputs,)
        Its biases b1, b2.
    gamma_, alpha_ : ndarray of shape (m,)
        Scale and shift of the neurons in the paper's scaling, with
        gamma^2 + alpha^2 / bias_scale^2 = 1.
    hidden_directions_ : ndarray of shape (n_features, m)
        The paper's w_j, normalised to ||(X - mean) w_j|| = 1, rows weighted by the root of their
        weight (see Notes when shrinkage > 0).
    gates_ : list of two ndarrays, shapes (n_features, m) and (m,), or None
        V, c of the gates 1[X @ V + c >= 0] of a gated network, whose output is
        ``((X @ W1 + b1) * gate) @ W2 + b2``.
    mean_, scale_ : ndarray of shape (n_features,)
        Weighted mean and scale of the columns.
    singular_values_ : ndarray of shape (`rank_`,)
        Those kept, of the centred and scaled (and sqrt(weight) times) rows, descending.
    rank_ : int
        Number of directions kept.
    n_neurons_ : int
        Number m of neurons; 0 if beta is beta_max or more.
    beta_ : float
        The penalty weight used.
    backend_ : str
        "closed_form", "cvxpy" or "torch".
    device_ : str
        Where the network was fitted, e.g. "cpu" or "cuda:0".
    n_iter_ : int
        Rounds of the solver, at least 1.
    objective_ : float
        Objective of the network, evaluated from its weights in float64, with the balanced penalty
        beta * sum_j ||(gamma_j, alpha_j / bias_scale)|| ||g_j||.
    dual_objective_ : float
        Lower bound on the objective of every network that ``certificate_`` names.
    dual_gap_ : float
        ``objective_ - dual_objective_``.
    zero_loss_ : float
        Loss of the model without neurons, of which tol is a fraction.
    history_ : ndarray of shape (n_rounds, 3)
        Seconds, objective and lower bound after each round, the best so far. The last row is the
        result. Bounds before may be larger: "adaptive" searches thoroughly only in the end, which
        may lower the bound.
    certificate_ : {"exact", "sampled", "search"}
        What the gap is relative to: "exact" all networks of any width; "sampled" those whose
        neurons lie in the sampled arrangements; "search" all networks, as far as a search for
        violations of the dual constraint went (over all h, or with several outputs and
        enumerated arrangements inside each of them). With several outputs "sampled" rests on a
        search inside each arrangement too, except for gated networks.
    converged_ : bool
        Whether the gap reached tol (or 1e-9), by a search that was neither cut short nor
        interrupted.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X had any (all strings).

    See Also
    --------
    ConvexBNRegressor : Numeric targets.

    Notes
    -----
    BN_{gamma, alpha}(z) = gamma (z - mean z) / ||z - mean z||_2 + alpha / sqrt(n), where n is the
    sum of the sample weights. Balancing the weights of each neuron, the penalty is
    beta * sum_j ||(gamma_j, alpha_j)|| ||g_j||. With Q = [U, 1 / sqrt(n)] from the singular value
    decomposition of the centred X, every neuron is relu(Q h) with ||h|| = ||(gamma, alpha)||, and
    training is a convex program [1]_. With shrinkage a the denominator ||z - mean z||_2 becomes
    sqrt((1 - a) ||z - mean z||^2 + a m ||w||^2), m being the mean squared singular value and w the
    weights of the columns as ``scale`` leaves them.

    A sample of weight k counts as k equal samples; weights that sum to 1 therefore stand for a
    single sample, which a given beta outweighs sooner.

    References
    ----------
    .. [1] T. Ergen, A. Sahiner, B. Ozturkler, J. Pauly, M. Mardani, M. Pilanci, "Demystifying
           Batch Normalization in ReLU Networks: Equivalent Convex Optimization Models and
           Implicit Regularization", ICLR 2022, arXiv:2103.01499.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skconvexbn import ConvexBNClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ConvexBNClassifier(random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    _parameter_constraints = {
        **SingleFit._parameter_constraints,
        **Classification._parameter_constraints,
    }

    def __init__(
        self,
        *,
        loss: str = "log_loss",
        class_weight: dict | str | None = None,
        beta: float | str = "auto",
        rank: int | float | None = None,
        shrinkage: float = 0.0,
        bias_scale: float | str = 1.0,
        scale: bool = True,
        fit_intercept: bool = True,
        activation: str = "relu",
        arrangements: str = "auto",
        n_arrangements: int = 100,
        backend: str = "auto",
        device: str | None = None,
        tol: float = 1e-2,
        max_iter: int = 100,
        max_time: float | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            beta=beta,
            rank=rank,
            shrinkage=shrinkage,
            bias_scale=bias_scale,
            scale=scale,
            fit_intercept=fit_intercept,
            activation=activation,
            arrangements=arrangements,
            n_arrangements=n_arrangements,
            backend=backend,
            device=device,
            tol=tol,
            max_iter=max_iter,
            max_time=max_time,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss
        self.class_weight = class_weight
